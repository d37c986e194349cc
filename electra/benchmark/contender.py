"""Contenders take turns, so that whatever else the machine does slows all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch


class Workload(NamedTuple):
    """What a contender did in one trial."""

    examples: int = 0
    tokens: int = 0  # real ones
    padded_tokens: int = 0  # padding included; 0 where that is not known
    megabytes: float = 0.0  # of text, 10**6 bytes
    flops: float = 0.0  # that the model needs for the real tokens
    memory: int | None = None  # bytes: the most that the contender's process has held so far

    def to_json(self) -> dict[str, Any]:
        """As the file of `--json` names them."""
        values = self._asdict()
        return {"places" if name == "padded_tokens" else name: values[name] for name in values}


class Trial(NamedTuple):
    """One turn of one contender."""

    seconds: float
    workload: Workload


class Contender(NamedTuple):
    """One of those that take turns."""

    name: str
    note: str  # what it does, in a line
    run: Callable[[], Workload]  # one turn
    dtype: str | None = None  # of the matrix products, where the limit is for comparison
    device: torch.device = torch.device("cpu")


def take_turns(contenders: Sequence[Contender], repeats: int) -> dict[str, list[Trial]]:
    """Run `repeats` rounds, in each of which every contender has one turn.

    Returns each contender's trials by its name. Every second round goes backwards, so that nobody
    always follows the same one.
    """
    trials: dict[str, list[Trial]] = {contender.name: [] for contender in contenders}

    for number in range(repeats):
        for contender in contenders[::-1] if number % 2 else contenders:
            began = time.perf_counter()
            workload = contender.run()
            trials[contender.name].append(Trial(time.perf_counter() - began, workload))

    return trials


class Measurement(NamedTuple):
    """All trials of one run, and what is needed to compare them."""

    contenders: list[Contender]  # the first one is compared with each of the others
    trials: dict[str, list[Trial]]  # by the contender's name
    unit: str  # the field of Workload whose rate is compared; "" where only the time counts
    memory: dict[str, int | None]  # bytes, by the contender's name
    limits: dict[str, float]  # FLOP/s, by the type of the matrix products
