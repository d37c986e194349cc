"""Dropout. On a CPU its masks come from bulk random bits, because `bernoulli_` is slow there.

docs/performance-log.md says what that saves.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Dropout(nn.Module):
    """`dropout` in training, nothing in evaluation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Any shape and floating dtype -> the same."""
        return dropout(x, self.rate) if self.training else x

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero each element with probability `rate`, in [0, 1), and scale the others to keep the mean.

    On a CPU the exact rate is that of `keep_factors`.
    """
    if rate == 0.0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    return x * keep_factors(x.shape, rate).to(x.dtype)


def keep_factors(shape: torch.Size, rate: float) -> Tensor:
    """A bfloat16 tensor of 0 (dropped) and 1 / (1 - rate) (kept), drawn at random.

    The factor is the nearest one that bfloat16 holds, and the share of zeros is the one that goes
    with it, to 2^-16: 0.0986 for a rate of 0.1. So the mean is exact. Each element takes 16 random
    bits and three integer operations, which a CPU does for 16 or 32 elements at once. The bits come
    from numpy's SFC64, which is twice as fast as torch's generator; torch's generator seeds it.
    """
    # The factor is digits * 2^(exponent - 8) with 8 binary digits, as bfloat16 has.
    mantissa, exponent = math.frexp(1 / (1 - rate))
    digits = round(mantissa * 2**8)
    factor_bits = ((exponent + 126) << 7) + digits - 2**7
    kept = round(2**15 / (digits * 2.0 ** (exponent - 8)))  # of 2^15

    count = math.prod(shape)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    words = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)
    bits = torch.from_numpy(words)[:count]

    # 15 random bits minus `kept` are negative with probability kept / 2^15. The shift copies the
    # sign into all 16 bits: all ones keep an element, all zeros drop it.
    keep = bits.bitwise_and_(2**15 - 1).sub_(kept).bitwise_right_shift_(15)
    return keep.bitwise_and_(factor_bits).view(torch.bfloat16).view(shape)
