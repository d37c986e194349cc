"""The length of examples and the learning rate as pure functions of the step."""

from __future__ import annotations

import math
from typing import NamedTuple

from electra.config import Phase
from electra.training.seeds import LENGTH_TAG, derive_seed

LATEST_WARMUP = 0.1  # fraction of --minutes: nobody knows how many steps they hold


def warmup_factor(
    step: int, warmup_steps: int, fraction_done: float = 0.0, latest: float = math.inf
) -> float:
    """How far the warm-up has come at `step` (0 is the first), in [0, 1].

    It is linear over `warmup_steps`, but it is over as soon as `fraction_done` of the run reaches
    `latest`.
    """
    return min(1.0, max((step + 1) / max(1, warmup_steps), fraction_done / latest))


def lr_factor(warmup: float, fraction_done: float, power: float = 1.0) -> float:
    """The factor on the peak learning rate.

    It is warm-up *times* decay to 0 from step 0, as in the official code. At `power` 1 the decay is
    linear.
    """
    return warmup * max(0.0, 1.0 - fraction_done) ** power


class Schedule(NamedTuple):
    """Length and learning rate of a run's steps, as functions of the step and the fraction done."""

    steps: int | None  # length of the run, or
    minutes: float | None  # its time
    peak_lr: float
    warmup_steps: int
    phases: tuple[Phase, ...]
    interleave: bool
    seed: int
    decay_power: float = 1.0

    def fraction_done(self, step: int, seconds: float) -> float:
        """How much of the run is done after `step` steps and so many seconds, in [0, 1]."""
        if self.minutes:
            return min(1.0, seconds / (60 * self.minutes))
        assert self.steps is not None
        return step / self.steps

    def seq_len(self, step: int, fraction_done: float) -> int:
        """The length of a step's examples, in tokens; interleaved, a function of (seed, step)."""
        at = fraction_done
        if self.interleave:
            at = derive_seed(self.seed, step, LENGTH_TAG) % 2**32 / 2**32
        return next(phase.seq_len for phase in self.phases if at < phase.end)

    def warmup(self, step: int, fraction_done: float) -> float:
        """The warm-up factor of a step, in (0, 1]."""
        latest = LATEST_WARMUP if self.minutes else math.inf
        return warmup_factor(step, self.warmup_steps, fraction_done, latest)

    def lr(self, step: int, fraction_done: float) -> float:
        """The learning rate of a step."""
        warmup = self.warmup(step, fraction_done)
        return self.peak_lr * lr_factor(warmup, fraction_done, self.decay_power)
