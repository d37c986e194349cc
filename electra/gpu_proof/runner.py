"""Runs the stages one after the other, each in a process of its own, within a budget of time.

The processes are forked from a server that has imported torch once and computed nothing, so that a
stage starts in milliseconds and still has the GPU for itself. This process imports no torch: it
must outlive whatever happens below it.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from electra.gpu_proof.findings import Finding, Findings, read_findings
from electra.gpu_proof.stages import Stage, StageContext

RESERVE = 2.0  # seconds kept for killing the last stage and writing the results
REHEARSAL_FACTOR = 3  # on limits: a CPU may have other work
LEAST = 4.0  # seconds without which a stage is not begun
PRELOADED = ["torch", "numpy", "electra.gpu_proof.workloads"]


# "killed": ended by a signal of somebody else.
Status = Literal["passed", "failed", "killed", "timed out", "left out"]


@dataclass(frozen=True)
class StageResult:
    """What became of a stage."""

    stage: Stage
    status: Status
    why: str  # empty where it passed
    seconds: float
    findings: list[Finding]

    @property
    def failed(self) -> bool:
        return self.status not in ("passed", "left out")


def run_stages(
    stages: Sequence[Stage],
    context: StageContext,
    seconds: float,
    data_ready: Callable[[], bool],
    report: Callable[[list[StageResult]], None],
) -> list[StageResult]:
    """Run the stages within `seconds`; `report` gets all results so far after each of them.

    A stage gets its limit, in a rehearsal more, or what is left of the time where that is less.
    What no time is left for is left out. The time counts from this call. A stage that needs data
    lets others go first until `data_ready`.
    """
    deadline = time.monotonic() + seconds - RESERVE
    results: list[StageResult] = []
    waiting = list(stages)
    while waiting:
        stage = _next_stage(waiting, data_ready, deadline)
        waiting.remove(stage)
        left = deadline - time.monotonic()
        if left < LEAST:
            results.append(StageResult(stage, "left out", "no time was left", 0.0, []))
        else:
            limit = stage.limit * (REHEARSAL_FACTOR if context.rehearse else 1)
            own = replace(context, seconds=min(limit, left))
            results.append(_run_stage(stage, own))
        report(results)
    return results


def _next_stage(waiting: Sequence[Stage], data_ready: Callable[[], bool], deadline: float) -> Stage:
    """The first stage that need not wait for data; where all need to, the first, when data are
    there or the time is over."""
    while True:
        ready = data_ready() or time.monotonic() > deadline - LEAST
        for stage in waiting:
            if ready or not stage.needs_data:
                return stage
        time.sleep(0.1)


def start_in_background(function: str, context: StageContext) -> Any:
    """Start `function` beside the stages; returns its process, which `kill_process` ends."""
    name = function.rpartition(":")[2]
    process = _process(name, function, context)
    process.start()
    return process


def _process(name: str, function: str, context: StageContext) -> Any:
    """A process of `function`, not yet started. All are forked from one server."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    return server.Process(target=_child, args=(name, function, context))


def findings_path(context: StageContext, name: str) -> Path:
    return context.scratch / f"{name}.findings.jsonl"


def _run_stage(stage: Stage, context: StageContext) -> StageResult:
    began = time.monotonic()
    process = _process(stage.name, stage.function, context)
    try:
        process.start()
        process.join(context.seconds)
        ended = not process.is_alive()
    finally:  # Ctrl-C, too, leaves nothing running
        kill_process(process)
    seconds = time.monotonic() - began
    findings = read_findings(findings_path(context, stage.name))
    status, why = _verdict(ended, process.exitcode, findings, context, stage.name)
    return StageResult(stage, status, why, seconds, findings)


def _verdict(
    ended: bool, code: int | None, findings: list[Finding], context: StageContext, name: str
) -> tuple[Status, str]:
    """(status, why) of a stage."""
    if not ended:
        return "timed out", f"it had not ended after {context.seconds:.0f} s"
    if code is not None and code < 0:
        return "killed", f"signal {signal.Signals(-code).name}"
    if code:
        return "failed", _last_words(context.scratch / f"{name}.log") or f"exit code {code}"
    missed = [finding.what for finding in findings if finding.passed is False]
    if missed:
        return "failed", "; ".join(missed)
    return "passed", ""


def _last_words(log: Path) -> str:
    """The last line that a stage printed: of a traceback, what was wrong."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return (text.strip().splitlines() or [""])[-1][:500]


def kill_process(process: Any) -> None:
    """End a stage and all that it has started; one that SIGKILL does not end is left behind."""
    if process.pid is None:
        return  # it was never started
    for kill in (os.killpg, os.kill):  # it leads a group only once it runs
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(process.pid, signal.SIGKILL)
    process.join(RESERVE)


def _child(name: str, function: str, context: StageContext) -> None:
    """The process of a stage: its own group, its output in a file."""
    os.setsid()
    log = open(context.scratch / f"{name}.log", "ab", buffering=0)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log.fileno(), stream.fileno())
    # Locks of other libraries then need no tracker, which would report them as leaked.
    multiprocessing.set_start_method("fork", force=True)
    try:
        module, _, attribute = function.partition(":")
        stage = getattr(importlib.import_module(module), attribute)
        if context.rehearse:
            _use_one_thread()
        stage(context, Findings(findings_path(context, name)))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)  # threads of a library that do not end must not keep the process


def _use_one_thread() -> None:
    """Tiny sizes are fastest so, and stages of a rehearsal run several processes side by side."""
    import torch  # here, in a stage; the process that starts stages does without it

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of programs that a stage starts
