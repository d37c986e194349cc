"""The length of examples and the learning rate as pure functions of the step."""

from __future__ import annotations

import math
from typing import NamedTuple

from electra.config import Phase
from electra.training.seeds import derive_seed

LATEST_WARMUP = 0.1  # share of --minutes: nobody knows how many steps they hold


def warmup_factor(
    step: int, warmup_steps: int, progress: float = 0.0, latest: float = math.inf
) -> float:
    """How far the warm-up has come at `step` (0 is the first), in [0, 1].

    It is linear over `warmup_steps`, but ends at the `latest` share of the run, of which `progress`
    is done.
    """
    return min(1.0, max((step + 1) / max(1, warmup_steps), progress / latest))


def lr_at(warmup: float, progress: float, power: float = 1.0) -> float:
    """The factor on the peak learning rate; `progress` is the share of the run that is done.

    It is warm-up *times* decay to 0 from step 0, as in the official code. At `power` 1 the decay is
    linear.
    """
    return warmup * max(0.0, 1.0 - progress) ** power


class Schedule(NamedTuple):
    """Length and learning rate of a run's steps, as functions of the step and the share done."""

    steps: int | None  # length of the run, or
    minutes: float | None  # its time
    lr: float  # at the peak
    warmup_steps: int
    phases: tuple[Phase, ...]
    interleave: bool
    seed: int
    decay_power: float = 1.0

    def share(self, step: int, seconds: float) -> float:
        """The share of the run that is done, in [0, 1]."""
        if self.minutes:
            return min(1.0, seconds / (60 * self.minutes))
        assert self.steps is not None
        return step / self.steps

    def seq_len(self, step: int, share: float) -> int:
        """The length of a step's examples, in tokens; interleaved, a function of (seed, step)."""
        at = derive_seed(self.seed, step, 0x1E9) % 2**32 / 2**32 if self.interleave else share
        return next(phase.seq_len for phase in self.phases if at < phase.end)

    def warmup(self, step: int, share: float) -> float:
        """The warm-up factor of a step, in (0, 1]."""
        latest = LATEST_WARMUP if self.minutes else math.inf
        return warmup_factor(step, self.warmup_steps, share, latest)
