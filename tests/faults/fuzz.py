"""Hostile input for every reader, by the thousand: python tests/faults/fuzz.py --inputs 10000 --seed 0

Each input (`inputs.READERS`) is either read, or refused with the project's own kind of error: a ValueError or OSError of
one printable line that names the file; of a program, exit code 2 and that line alone on standard error. Anything else is
a finding: another exception, more than SECONDS, more than ROOM bytes of memory, a file outside the target folder, a file
left behind by what was refused, code that ran. An input is a function of (seed, reader, number), and that of a finding
is kept. Readers run in a process of their own, which the system ends where one hangs or crashes.
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
from faults import inputs

from electra.cli import one_line

SECONDS = 20  # of the clock, for one input
ROOM = 1 << 30  # bytes of address space beyond what the imports took
LONGEST_MESSAGE = 2_500


class Finding(NamedTuple):
    reader: str
    seed: int
    number: int
    what: str
    kept: Path  # the folder of the input


class Row(NamedTuple):
    """What became of the inputs of one reader."""

    reader: str
    read: int
    refused: int
    seconds: float
    findings: list[Finding]


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 1 where there were findings."""
    parser = argparse.ArgumentParser(prog="fuzz.py", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--inputs", type=int, default=10_000, help="for each reader (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all inputs (default: 0)")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first input, to repeat one (default: 0)"
    )
    parser.add_argument("--only", choices=tuple(inputs.READERS), help="one reader (default: all)")
    parser.add_argument(
        "--keep",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fuzz-findings",
        help="folder for the inputs of findings (default: fuzz-findings beside other temporary files)",
    )
    args = parser.parse_args(argv)
    torch.set_num_threads(1)  # a second one would not survive the fork
    print(
        f"seed {args.seed}, {args.inputs:,} inputs a reader\n"
        f"{'reader':<16}{'inputs':>8}{'read':>8}{'refused':>9}{'seconds':>9}{'findings':>10}",
        flush=True,
    )
    findings = []
    for reader in [args.only] if args.only else inputs.READERS:
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
    """`count` inputs of one reader. A process that ends before its time is a finding, and the next one goes on after it."""
    began = time.monotonic()
    inputs.checkpoints(), inputs.exported()  # made once, for all processes
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
    """The folder of an input in a place where it stays."""
    place = keep / f"{reader}-{seed}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    keep.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place)
    return place


def _work(reader: str, numbers: range, seed: int, folder: Path, writing: int) -> None:
    """In a process of its own: say of each input that it begins, and what became of it. A finding ends the process, so
    that its input can be put away. Never returns."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, whatever it is in
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
    except BaseException:  # of the making of an input
        traceback.print_exc()
        os.kill(os.getpid(), signal.SIGABRT)
    finally:
        os._exit(0)


def attempt(reader: str, seed: int, number: int, folder: Path) -> tuple[str, str]:
    """("read" | "refused" | "finding", what was said). `folder` is made anew; the input stays in it."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "to").mkdir(parents=True)
    read = inputs.READERS[reader](random.Random(f"{seed} {reader} {number}"), folder)
    before = _names(folder)
    try:
        read()
        outcome, said = "read", ""
    except (ValueError, OSError) as problem:
        outcome, said = "refused", str(problem)
    except BaseException as problem:  # whatever it is, it is a finding
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
    return {
        os.path.relpath(os.path.join(root, name), folder)
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    }


if __name__ == "__main__":
    sys.exit(main())
