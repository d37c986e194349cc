"""Running stages as programs: finished ones are skipped, interrupted ones resume.

Beside the folder of each stage lie NAME.command, the command that fills it, NAME.done, once it has
finished, and NAME.log, the output of stages that run at the same time.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from electra.checkpoint import run_folder
from electra.checkpoint.checkpoint import PRETRAINED
from electra.checkpoint.storage import load_checkpoint
from electra.comparison.stages import Stage
from electra.data.processes import available_cores
from electra.files import write_atomically


def run_all(stages: Sequence[Stage], jobs: int, programs: Path) -> None:
    """Run stages that do not depend on each other, `jobs` at a time.

    `programs` is the folder of train.py and finetune.py. When a stage fails or is stopped, those
    that are running still end, and no further one starts; then the error is raised.
    """
    if jobs == 1:
        for stage in stages:
            run_stage(stage, programs)
        return

    threads = max(1, available_cores() // jobs)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            futures = [pool.submit(run_stage, stage, programs, threads) for stage in stages]
            for future in as_completed(futures):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def run_stage(stage: Stage, programs: Path, threads: int | None = None) -> None:
    """Run a stage, resume it, or skip it.

    With `threads` the stage uses that many and writes its output into its .log file. ValueError
    where it fails, or where another command made its folder; KeyboardInterrupt where it is stopped.
    """
    done = stage.folder.with_name(f"{stage.folder.name}.done")
    begun = stage.folder.with_name(f"{stage.folder.name}.command")
    if begun.exists() and begun.read_text() != stage.text:
        raise ValueError(
            f"{stage.folder} was made by another command ({begun.read_text()}); remove it or "
            f"choose another --out"
        )
    if done.exists():
        print(f"[{stage.name}] done before", flush=True)
        return
    write_atomically(begun, stage.text.encode())

    command = _command_to_run(stage)
    print(f"\n[{stage.name}] python {shlex.join(command)}", flush=True)
    log = stage.folder.with_name(f"{stage.folder.name}.log") if threads else None
    exit_code = _run_program(command, programs, threads, log)

    if exit_code == 130:
        raise KeyboardInterrupt
    if exit_code:
        place = f"in {log}" if log else "above"
        raise ValueError(
            f"stage {stage.name} failed (exit code {exit_code}); its output is {place}"
        )
    # A stopped train.py saves its state and ends with exit code 0.
    if command[0] == "train.py" and not is_finished(stage.folder):
        raise KeyboardInterrupt
    write_atomically(done, b"")


def is_finished(folder: Path) -> bool:
    """Whether a pre-training has reached the end of its steps or minutes."""
    checkpoint = load_checkpoint(folder / "ckpt.pt", PRETRAINED)
    settings, training = checkpoint.settings, checkpoint.training
    assert training is not None
    if settings["minutes"] is not None:
        return training.seconds >= 60 * settings["minutes"]
    return training.step >= settings["steps"]


def _command_to_run(stage: Stage) -> list[str]:
    """The command of a stage or, where the folder holds a part of its work, one that goes on."""
    if stage.command[0] == "finetune.py":
        return [*stage.command, "--force"]  # an interrupted fine-tuning starts again
    if run_folder.of_run(stage.folder):
        return ["train.py", "--out", str(stage.folder), "--resume"]
    # A pre-training that stopped before its first checkpoint starts again.
    (stage.folder / "config.json").unlink(missing_ok=True)
    return stage.command


def _run_program(
    command: Sequence[str], programs: Path, threads: int | None, log: Path | None
) -> int:
    """Run a command of train.py or finetune.py and return its exit code."""
    path = [str(programs), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)

    with ExitStack() as files:
        output = files.enter_context(open(log, "ab")) if log else None
        return subprocess.run(
            [sys.executable, str(programs / command[0]), *command[1:]],
            env=environment,
            stdout=output,
            stderr=output,
        ).returncode
