"""Stages: ways to run a step that change nothing but its speed, and what no step does."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator

import torch

from electra.config import ModelConfig
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import (
    KINDS,
    Trainer,
    compiler_at_hand,
    config_for,
    count_differing,
    losses_of,
    make_trainer,
    random_batch,
)
from electra.training.device import choose_device, make_deterministic
from electra.training.passes import CudaGraphs

# Largest relative difference of a loss between compiled and plain networks, over COMPILED_STEPS;
# the most telling first. A model that does not train at all differs by 3e-3.
COMPILED = {("electra", "bf16"): 1e-3, ("mlm", "bf16"): 5e-4, ("electra", "float32"): 3e-4}
COMPILED_STEPS = 5
MIXED = (64, 128, 192, 256, 512)  # widths of batches


def host_waits(context: StageContext, findings: Findings) -> None:
    """Steps under torch's sync debug mode, after a warm-up."""
    device = choose_device(context.device)
    config = config_for(context, "tiny")
    for kind, precision in itertools.product(KINDS, ("bf16", "fp16")):
        trainer = make_trainer(config, kind, precision, device)
        batches = [random_batch(config, 8, 64, seed, padded=True) for seed in range(3)]
        for batch in batches:
            trainer.step(batch.to(device))
        with _no_waiting(device):
            for batch in batches:
                trainer.step(batch.to(device))  # copied from pinned memory, as in the loop
        findings.holds(f"{kind} in {precision}: no step waits", True)


@contextlib.contextmanager
def _no_waiting(device: torch.device) -> Iterator[None]:
    """Let whatever makes the host wait for the GPU raise an error."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def graphs(context: StageContext, findings: Findings) -> None:
    """Weights and moments after steps of three shapes, plain and played back."""
    make_deterministic()
    device = choose_device(context.device)
    config = config_for(context, "tiny", dropout=0.1)
    for kind, precision in itertools.product(KINDS, ("bf16", "fp16")):
        ends = []
        for played in (False, True):
            trainer = make_trainer(config, kind, precision, device)
            if played and device.type == "cuda":
                trainer.graphs = CudaGraphs(device)
            ends.append(_three_shapes(trainer, config, device))
        differing = count_differing(*ends)
        findings.at_most(f"{kind} in {precision}: tensors that differ", differing, 0)


def _three_shapes(
    trainer: Trainer, config: ModelConfig, device: torch.device
) -> list[torch.Tensor]:
    """Four rounds over full, padded and wider batches, beyond the warm-up of each."""
    for number in range(12):
        rows, width, padded = ((8, 64, False), (8, 64, True), (4, 128, False))[number % 3]
        batch = random_batch(config, rows, width, seed=number, padded=padded)
        trainer.step(batch.to(device))
    return trainer.weights()


def memory(context: StageContext, findings: Findings) -> None:
    """What is allocated after half of the steps and after all of them."""
    device = choose_device(context.device)
    config = config_for(context, "tiny")
    steps = 10 if context.rehearse else 200
    trainer = make_trainer(config, "electra", "bf16", device)
    held = []
    for number in range(steps):
        width = MIXED[number % len(MIXED)]
        tokens = 512 if context.rehearse else 8192
        batch = random_batch(config, tokens // width, width, seed=number, padded=number % 2 == 0)
        trainer.step(batch.to(device))
        if number + 1 in (steps // 2, steps) and device.type == "cuda":
            torch.cuda.synchronize()
            held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    if not held:
        findings.value("steps of mixed lengths", steps)
        return
    (half, half_reserved), (end, end_reserved) = held
    findings.at_most("allocated at the end, against half time", end / half, 1.0, "times")
    findings.at_most("reserved at the end", end_reserved / half_reserved, 1.05, "times")
    findings.value("peak", torch.cuda.max_memory_allocated() / 2**20, "MiB")


def compile_networks(context: StageContext, findings: Findings) -> None:
    """Losses of compiled networks against plain ones, from the same masks and samples."""
    device = choose_device(context.device)
    config = config_for(context, "tiny", dropout=0.0)
    ways = list(COMPILED.items())
    for (kind, precision), bound in ways[1:] if context.rehearse else ways:
        plain = _some_losses(make_trainer(config, kind, precision, device), config, device)
        trainer = make_trainer(config, kind, precision, device)
        began = time.perf_counter()
        with compiler_at_hand(context):
            trainer.model.compile_networks()
            compiled = _some_losses(trainer, config, device)
        findings.value(
            f"{kind} in {precision}: seconds with compiling", time.perf_counter() - began, "s"
        )
        for number, (one, two) in enumerate(zip(compiled, plain, strict=True), start=1):
            for term in one:
                what = f"{kind} in {precision}, step {number}, {term}: relative difference"
                findings.at_most(what, abs(one[term] / two[term] - 1), bound)


def compiled_graphs(context: StageContext, findings: Findings) -> None:
    """Compiled steps with dropout, started one by one and played back."""
    make_deterministic()
    device = choose_device(context.device)
    config = config_for(context, "tiny", dropout=0.1)
    ends = []
    for played in (False, True):
        trainer = make_trainer(config, "electra", "bf16", device)
        if played and device.type == "cuda":
            trainer.graphs = CudaGraphs(device)
        with compiler_at_hand(context):
            trainer.model.compile_networks()
            _some_losses(trainer, config, device)
        ends.append(trainer.weights())
    differing = count_differing(*ends)
    findings.at_most("tensors that differ", differing, 0)


def _some_losses(
    trainer: Trainer, config: ModelConfig, device: torch.device
) -> list[dict[str, float]]:
    return [
        losses_of(trainer.step(random_batch(config, 8, 64, seed=number).to(device)))
        for number in range(COMPILED_STEPS)
    ]
