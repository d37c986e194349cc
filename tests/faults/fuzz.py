"""Thousands of hostile inputs for every reader.

    python tests/faults/fuzz.py --inputs 10000 --seed 0

A reader (`READERS`) must either read an input or refuse it. To refuse it, a function raises
ValueError or OSError with one printable line that names the file, and a program ends with exit
code 2 and writes only that line to standard error.

Anything else is a finding: another exception, more than SECONDS, more than ROOM bytes of memory,
a file outside the target folder, a file left behind after a refusal, or code that ran.

(seed, reader, number) determine an input. The inputs of findings are kept. Each reader runs in its
own process, so that the fuzz survives a reader that hangs or crashes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from faults import inputs, inputs_of_tasks

from electra.cli import one_line

READERS = inputs.READERS | inputs_of_tasks.READERS

SECONDS = 20  # wall-clock time for one input
ROOM = 1 << 30  # bytes of address space, on top of what the imports take
LONGEST_MESSAGE = 2_500


class Finding(NamedTuple):
    reader: str
    seed: int
    number: int
    what: str
    kept: Path  # folder with the input


class Row(NamedTuple):
    """The outcomes of one reader's inputs."""

    reader: str
    read: int
    refused: int
    seconds: float
    findings: list[Finding]


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 1 if there were findings, else 0."""
    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--inputs", type=int, default=10_000, help="inputs for each reader (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all inputs (default: 0)")
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="number of the first input; repeats one input (default: 0)",
    )
    parser.add_argument("--only", choices=tuple(READERS), help="fuzz one reader (default: all)")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fuzz-findings",
        help="folder for the inputs of findings (default: fuzz-findings in the temporary folder)",
    )
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # a second thread would not survive the fork
    print(
        f"seed {args.seed}, {args.inputs:,} inputs a reader\n"
        f"{'reader':<16}{'inputs':>8}{'read':>8}{'refused':>9}{'seconds':>9}{'findings':>10}",
        flush=True,
    )
    findings = []
    for reader in [args.only] if args.only else READERS:
        row = fuzz(reader, args.inputs, args.seed, args.keep, args.first)
        print(
            f"{row.reader:<16}{args.inputs:>8,}{row.read:>8,}{row.refused:>9,}{row.seconds:>9.1f}"
            f"{len(row.findings):>10,}",
            flush=True,
        )
        findings += row.findings
    for one in findings:
        print(f"{one.reader}, seed {one.seed}, input {one.number}: {one.what}\n    {one.kept}")
    return 1 if findings else 0


def fuzz(reader: str, count: int, seed: int, keep: Path, first: int = 0) -> Row:
    """Give a reader `count` inputs.

    If its process ends early, that is a finding, and a new process continues with the next input.
    """
    began = time.monotonic()
    # Made once for all processes.
    inputs.checkpoints(), inputs.exported(), inputs_of_tasks.embeddable()
    outcomes = {"read": 0, "refused": 0}
    findings, number = [], first
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        while number < first + count:
            folder, reading, writing = Path(temporary) / "case", *os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                _work(reader, range(number, first + count), seed, folder, writing)
            os.close(writing)
            with open(reading, encoding="utf-8") as told:
                for line in told:
                    number, outcome, what = json.loads(line)
                    if outcome == "finding":
                        findings.append(
                            Finding(
                                reader,
                                seed,
                                number,
                                what,
                                _kept(folder, keep, reader, seed, number),
                            )
                        )
                    elif outcome in outcomes:
                        outcomes[outcome] += 1
            status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                what = f"the process was ended by {signal.Signals(os.WTERMSIG(status)).name}"
                findings.append(
                    Finding(reader, seed, number, what, _kept(folder, keep, reader, seed, number))
                )
            number += 1
    return Row(reader, outcomes["read"], outcomes["refused"], time.monotonic() - began, findings)


def _kept(folder: Path, keep: Path, reader: str, seed: int, number: int) -> Path:
    """Move an input's folder to where it is kept; returns the new path."""
    place = keep / f"{reader}-{seed}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    keep.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def _work(reader: str, numbers: range, seed: int, folder: Path, writing: int) -> None:
    """The loop of the child process: report the start and the outcome of each input.

    A finding ends the process, so that the parent can keep the input. Never returns.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the alarm ends the process at once
    statistics = Path("/proc/self/statm")
    if statistics.exists():  # Linux
        taken = int(statistics.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    told = open(writing, "w", encoding="utf-8")
    try:
        for number in numbers:
            say = lambda outcome, what="": print(
                json.dumps([number, outcome, what]), file=told, flush=True
            )
            say("begun")
            signal.alarm(SECONDS)
            outcome, what = attempt(reader, seed, number, folder)
            signal.alarm(0)
            say(outcome, what)
            if outcome == "finding":
                break
    except BaseException:  # raised while an input was made
        traceback.print_exc()
        os.kill(os.getpid(), signal.SIGABRT)
    finally:
        os._exit(0)


def attempt(reader: str, seed: int, number: int, folder: Path) -> tuple[str, str]:
    """Make one input in a fresh `folder` and read it.

    Returns ("read" | "refused" | "finding", message). The input stays in `folder`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "to").mkdir(parents=True)
    read = READERS[reader](random.Random(f"{seed} {reader} {number}"), folder)
    before = _names(folder)
    try:
        read()
        outcome, said = "read", ""
    except (ValueError, OSError) as problem:
        outcome, said = "refused", str(problem)
    except BaseException as problem:  # any other exception is a finding
        frame = traceback.extract_tb(problem.__traceback__)[-1]
        return "finding", one_line(f"{type(problem).__name__}: {problem}")[
            :500
        ] + f" ({frame.filename}:{frame.lineno})"
    new = sorted(_names(folder) - before)
    outside = [name for name in new if not name.startswith("to/")]
    if outside:
        return "finding", f"outside the target folder: {one_line(outside)}"
    if outcome == "refused" and new:
        return "finding", f"left behind: {one_line(new)}, after: {one_line(said)}"
    shown = one_line(said)
    if outcome == "refused" and (str(folder) not in shown or len(shown) > LONGEST_MESSAGE):
        return "finding", f"an error that does not name the file, or is too long: {shown[:500]}"
    return outcome, shown


def _names(folder: Path) -> set[str]:
    """Relative paths of all files and folders in `folder`."""
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


if __name__ == "__main__":
    sys.exit(main())
