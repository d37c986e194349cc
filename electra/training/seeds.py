"""Seeds for every purpose, derived from one."""

from __future__ import annotations

import numpy as np


def derive_seed(*numbers: int) -> int:
    """One seed of 63 bits from several numbers; seeds of neighbours have nothing in common."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
