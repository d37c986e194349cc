"""Stages: train.py as a user runs it, killed and without memory."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
from functools import partial
from pathlib import Path
from typing import Any

import torch

from electra.checkpoint.storage import load_checkpoint
from electra.files import write_atomically
from electra.gpu_proof.findings import Findings
from electra.gpu_proof.stages import StageContext
from electra.gpu_proof.workloads import (
    count_differing,
    log_text,
    run_program,
    start_program,
    wait_until,
)

SMALL_MEMORY = 2 * 2**30  # bytes: the weights of small fit, a step of 65,536 tokens does not


def resume(context: StageContext, findings: Findings) -> None:
    """A run that is killed twice, against one that is not."""
    common = short_run(context, "resume", "--deterministic")
    whole = start_program(context, "train.py", [*common, "--out", "whole"], "resume.whole.log")
    parts = start_program(context, "train.py", [*common, "--out", "parts"], "resume.parts.log")
    rng = random.Random(0)
    killed = []
    steps = _steps(context)
    for begin in (steps // 4, steps * 5 // 8):
        step = rng.randrange(begin, begin + steps // 4)
        if wait_until(partial(_logged, context, "parts", step), parts):
            os.kill(parts.pid, signal.SIGKILL)
            killed.append(step)
        parts.join()
        again = ["--out", "parts", "--resume"]
        parts = start_program(context, "train.py", again, "resume.parts.log")
    for process in (whole, parts):
        process.join()
    findings.holds("both runs end well", whole.exitcode == parts.exitcode == 0)
    findings.holds("killed twice", len(killed) == 2, f"at steps {killed}")
    check_same(context, findings, "whole", "parts", with_log=True)


def out_of_memory(context: StageContext, findings: Findings) -> None:
    """A run that goes on from its checkpoint without memory, then with it."""
    flags = short_run(context, "oom", "--keep", 100)
    folder = context.scratch / "oom"
    ended = run_program(context, "train.py", [*flags, "--out", folder], "oom.log")
    findings.holds("the run ends well", ended == 0)
    (folder / f"ckpt-{_steps(context) // 2}.pt").replace(folder / "ckpt.pt")
    before = hashlib.sha256((folder / "ckpt.pt").read_bytes()).hexdigest()

    again = ["--out", folder, "--resume"]
    take = _raise_in_backward if context.rehearse else _take_memory
    code = run_program(context, "train.py", again, "oom.short.log", take)
    said = [line for line in log_text(context, "oom.short.log").splitlines() if "error" in line]
    findings.holds("exit code 2", code == 2, str(code))
    findings.holds(
        "one line that names --accumulate 2",
        len(said) == 1 and "is out of memory; try --" in said[0] and "--accumulate 2" in said[0],
        (said or ["nothing"])[-1][:300],
    )
    after = hashlib.sha256((folder / "ckpt.pt").read_bytes()).hexdigest()
    findings.holds("the checkpoint is the same file", before == after)
    code = run_program(context, "train.py", again, "oom.log")
    findings.holds("with memory the run goes on to its end", code == 0)


def _take_memory() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(SMALL_MEMORY / total)


def _raise_in_backward() -> None:
    def no_memory(*arguments: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("injected")

    torch.Tensor.backward = no_memory  # type: ignore[method-assign]


def short_run(context: StageContext, name: str, *more: object) -> list[object]:
    """A short run of train.py that saves often. Its text is that of the sample, several times over,
    so that one step of a GPU does not read all of it."""
    sizes = {"size": "small", "batch_tokens": 65_536, "seq_len": 128}
    if context.rehearse:
        sizes = {"size": "tiny", "batch_tokens": 256, "seq_len": 32}
    return [
        *("--corpus", _text(context), "--size", sizes["size"], "--steps", _steps(context)),
        *("--batch-tokens", sizes["batch_tokens"], "--seq-len", sizes["seq_len"]),
        *(
            "--vocab-size",
            800,
            "--save-every",
            4,
            "--eval-every",
            _steps(context),
            "--log-every",
            1,
        ),
        *("--device", context.device, "--cache", context.scratch / "cache-runs"),
        *("--no-compile", *more),
    ]


def _steps(context: StageContext) -> int:
    return 16 if context.rehearse else 40


def _text(context: StageContext) -> Path:
    path = context.scratch / "text.raw"
    if not path.exists():
        sample = (context.root / "data" / "sample" / "wiki.raw").read_bytes()
        write_atomically(path, sample[:40_000] if context.rehearse else sample * 20)
    return path


def _logged(context: StageContext, run: str, step: int) -> bool:
    """Whether a run has come to a step."""
    log = context.scratch / run / "metrics.jsonl"
    return log.exists() and f'{{"step": {step}, ' in log.read_text()


def check_same(
    context: StageContext, findings: Findings, one: str, two: str, with_log: bool = False
) -> None:
    """Weights, moments and, where asked for, the log of two runs, bit for bit."""
    first, second = (
        load_checkpoint(context.scratch / run / "ckpt.pt", ("electra",)) for run in (one, two)
    )
    tensors = []
    for checkpoint in (first, second):
        assert checkpoint.training is not None
        optimizer = checkpoint.training.optimizer
        moments = [*optimizer["exp_avg"], *optimizer["exp_avg_sq"]]
        tensors.append([*checkpoint.model.values(), *(moment.cpu() for moment in moments)])
    differing = count_differing(*tensors)
    findings.at_most(f"{one} and {two}: tensors that differ", differing, 0)
    if with_log:
        logs = [_lines(context.scratch / run / "metrics.jsonl") for run in (one, two)]
        findings.holds(f"{one} and {two}: the same log", logs[0] == logs[1])


def _lines(path: Path) -> list[dict[str, Any]]:
    """The log without what the clock has to do with."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "tokens_per_s")}
        for record in records
    ]
