"""Stage: one rank computes what no rank at all computes."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import torch

from electra.config import preset_model_config
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.programs import check_same, short_run
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import (
    count_differing,
    log_text,
    make_trainer,
    random_batch,
    start_process,
    start_program,
)
from electra.training import distributed
from electra.training.device import choose_device, make_deterministic
from electra.training.optimizer import ShardedAdam, parameter_groups

STEPS = 6
RUNS = {"none": [], "one": [], "zero": ["--zero"]}
SAID = "tensors that differ with "


def ranks(context: StageContext, findings: Findings) -> None:
    """The same run of train.py without torchrun, as its only rank, and as that with --zero.

    train.py with one rank leaves DistributedDataParallel out, since there is nobody to share with;
    `compare_sharing` has it in.
    """
    flags = short_run(context, "ranks", "--deterministic")
    processes = [
        start_program(
            context,
            "train.py",
            [*flags, *more, "--out", f"ranks-{name}"],
            f"ranks.{name}.log",
            (lambda: None) if name == "none" else be_rank,
        )
        for name, more in RUNS.items()
    ]
    processes.append(
        start_process(context, lambda: compare_sharing(context.device), "ranks.sharing.log")
    )
    for process in processes:
        process.join()
    findings.holds("all end well", not any(process.exitcode for process in processes))

    for name in ("one", "zero"):
        check_same(context, findings, "ranks-none", f"ranks-{name}")
    for line in log_text(context, "ranks.sharing.log").splitlines():
        if line.startswith(SAID):
            what, _, count = line.rpartition(": ")
            findings.at_most(what, int(count), 0)


def be_rank() -> None:
    """Tell this process what torchrun tells the only rank of a group."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": "proof",
    }


def compare_sharing(device_name: str) -> None:
    """Steps with the gradients and the optimizer of several ranks against plain ones, as the only
    rank of a group; prints what differs."""
    be_rank()
    make_deterministic()
    device = choose_device(distributed.device_name(device_name))
    distributed.start(device, minutes=1.0)
    config = replace(preset_model_config("tiny", "electra", 1000), num_layers=2)

    plain: list[torch.Tensor] = []
    for name in ("nothing", "shared gradients", "shared gradients and moments"):
        trainer = make_trainer(config, "electra", "bf16", device)
        if name != "nothing":
            trainer.wrapped = distributed.data_parallel(trainer.model)
        if name == "shared gradients and moments":
            trainer.optimizer = ShardedAdam(parameter_groups(trainer.model, 0.01))
        for number in range(STEPS):
            trainer.step(random_batch(config, 8, 64, seed=number, padded=True).to(device))
        weights = [parameter.detach().cpu() for parameter in trainer.model.parameters()]
        plain = plain or weights
        print(f"{SAID}{name}: {count_differing(weights, plain)}")
    distributed.stop()
