"""`bench.py startup`: train.py as a program, from its start to the end of its first step."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from electra.benchmark.contender import Contender, Measurement, Workload, take_turns
from electra.benchmark.programs import ROOT, last_line
from electra.benchmark.tokenizing import megabytes


def measure_startup(args: argparse.Namespace) -> Measurement:
    """Start train.py again and again, on a text that a first run has tokenised."""
    with tempfile.TemporaryDirectory() as folder:
        numbers = itertools.count()

        def run() -> Workload:
            begin_training(args, Path(folder) / f"run-{next(numbers)}")
            return Workload()

        run()  # tokenises
        note = (
            f"{args.size}, {args.batch_tokens} tokens a step, "
            f"{megabytes(tuple(args.corpus)):,.0f} MB of text, tokenised before"
        )
        contenders = [Contender("ours", note, run)]
        trials = take_turns(contenders, args.repeats)

    return Measurement(contenders, trials, "", {"ours": None}, {})


def begin_training(args: argparse.Namespace, out: Path) -> None:
    """Start train.py, and end it when its first step is in the log.

    Raises ValueError where it ends by itself before that.
    """
    log = out / "metrics.jsonl"
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                _command(args, out), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        )
        stack.callback(process.kill)  # before the end of it is waited for
        while not (log.exists() and log.stat().st_size):
            if process.poll() is not None:
                assert process.stderr is not None
                said = last_line(process.stderr.read())
                raise ValueError(f"train.py has ended before its first step: {said}")
            time.sleep(0.005)


def _command(args: argparse.Namespace, out: Path) -> list[str]:
    flags = {
        "--tokenizer": args.tokenizer,
        "--size": args.size,
        "--batch-tokens": args.batch_tokens,
        "--cache": args.cache,
        "--out": out,
        "--device": args.device,
        "--amp": args.amp,
        "--steps": 1000,  # it is ended long before
        "--log-every": 1,
    }
    command = [sys.executable, f"{ROOT}/train.py", "--corpus", *args.corpus]
    command += [str(part) for pair in flags.items() for part in pair]
    return ["env", f"OMP_NUM_THREADS={args.threads}", *command] if args.threads else command
