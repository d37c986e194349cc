"""A process of its own for each contender in training: its own memory, its own settings.

The parent sends an empty line for each turn. The child answers in JSON, a line each time: first its
note and the type of its matrix products, then the workload of each turn.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

import torch

from electra.benchmark.contender import Contender, Workload
from electra.benchmark.limits import peak_memory, synchronize
from electra.benchmark.programs import ROOT


def start_contenders(
    stack: contextlib.ExitStack, argv: list[str], names: Sequence[str]
) -> list[Contender]:
    """Start `scripts/bench.py` again for each name, as the process in which it trains.

    `argv` is the command line of this run. The processes end with `stack`. Raises SystemExit or
    ValueError where one ends before that.
    """
    # The others start together, once the first has found what is wrong and filled the cache.
    first = _when_ready(_start(stack, argv, names[0]), names[0])
    processes = [_start(stack, argv, name) for name in names[1:]]
    others = [
        _when_ready(process, name) for process, name in zip(processes, names[1:], strict=True)
    ]
    return [first, *others]


def _start(stack: contextlib.ExitStack, argv: list[str], name: str) -> subprocess.Popen[str]:
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "1"] if name == "ddp" else []
    command = [sys.executable, *torchrun, f"{ROOT}/scripts/bench.py", *argv, "--only", name]
    return stack.enter_context(
        subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )


def _when_ready(process: subprocess.Popen[str], name: str) -> Contender:
    """The contender that trains in a process, once it has loaded all that it needs."""

    def run() -> Workload:
        print(file=process.stdin, flush=True)
        return Workload(*_read_answer(process, name))

    note, dtype = _read_answer(process, name)
    return Contender(name, note, run, dtype)


def _read_answer(process: subprocess.Popen[str], name: str) -> Any:
    assert process.stdout is not None
    if line := process.stdout.readline():
        return json.loads(line)

    if process.wait() == 2:
        raise SystemExit(2)  # it has said why
    raise ValueError(f"the process in which {name} trains has ended with code {process.returncode}")


def serve_contender(make: Callable[[], Contender]) -> None:
    """Be the process that `start_contenders` has started: one turn for each line of the input."""
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):  # it may say that it trains a tokenizer
        contender = make()

    _answer(sys.stdout, [contender.note, contender.dtype])
    for _ in sys.stdin:
        workload = contender.run()
        synchronize(contender.device)
        _answer(sys.stdout, workload._replace(memory=peak_memory(contender.device)))


def _answer(output: IO[str], content: Any) -> None:
    print(json.dumps(content), file=output, flush=True)
