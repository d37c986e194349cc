"""Seeds for every purpose, derived from one."""

from __future__ import annotations

import numpy as np


def derive_seed(*numbers: int) -> int:
    """One seed of 63 bits from several numbers; seeds of neighbours have nothing in common."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


# Tags: the last number of a seed, which sets a purpose apart from others of the same run and step.
MASKS_TAG = 1  # masks and samples of a micro-batch; odd, since tags of dropout are even
LENGTH_TAG = 0x1E9  # the length of a step with --interleave
PRETRAINING_TAG = 0xE1EC  # the initial weights of pre-training
CLASSIFIER_TAG = 0xF17E  # the new head of a fine-tuning


def dropout_tag(rank: int) -> int:
    """The tag of a rank's dropout in a micro-batch: an even number, which is never `MASKS_TAG`."""
    return 2 * rank
