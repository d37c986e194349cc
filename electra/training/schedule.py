"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math


def warmup_factor(
    step: int, warmup_steps: int, progress: float = 0.0, latest: float = math.inf
) -> float:
    """How far the warm-up has come at `step` (0 is the first): 0 to 1, linear over `warmup_steps` but over at the
    `latest` share of the run, of which `progress` lies behind."""
    return min(1.0, max((step + 1) / max(1, warmup_steps), progress / latest))


def lr_at(warm: float, progress: float) -> float:
    """The factor on the peak learning rate: warm-up *times* linear decay to 0 from step 0, as in the official code.
    `progress` is the share of the run that lies behind, in steps or in time."""
    return warm * max(0.0, 1.0 - progress)
