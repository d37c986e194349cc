"""Statistics of several scores: mean, deviation, median, and the quantiles of Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (divisor n - 1) of at least one value.

    The deviation of one value is 0.0. ValueError where there is no value.
    """
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise ValueError("expected at least one value, got none")
    return float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0


def median(values: Sequence[float]) -> float:
    """The median of at least one value. ValueError where there is none, and for NaN."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise ValueError("expected at least one value, got none")
    if np.isnan(v).any():
        raise ValueError("a median needs numbers, got NaN")
    return float(np.median(v))


def student_t_quantile(p: float, degrees_of_freedom: float) -> float:
    """The t with a share p of Student's distribution below it. Degrees need not be whole.

    The relative error is below 1e-9 up to 10,000 degrees of freedom; beyond, the logarithms of
    gamma lose digits. ValueError for p outside [1e-100, 1), and for degrees of freedom below 1 or
    infinite.
    """
    df = degrees_of_freedom
    if not 1e-100 <= p < 1:
        raise ValueError(f"expected a share above 0 and below 1, got {p}")
    if not 1 <= df < math.inf:
        raise ValueError(f"expected degrees of freedom of 1 or more, got {df}")
    tail = min(p, 1 - p)

    def is_too_low(t: float) -> bool:
        # Uses the share outside (-t, t) or the share inside it, whichever is smaller at p, because
        # the larger one would lose digits. 1 - df / (df + t²) would lose them too, so both shares
        # of df + t² are computed.
        outer, inner = df / (df + t * t), t * t / (df + t * t)
        if tail < 0.25:
            return _incomplete_beta(df / 2, 0.5, outer, inner) > 2 * tail
        return _incomplete_beta(0.5, df / 2, inner, outer) < 1 - 2 * tail

    low, high = 0.0, 1.0
    while is_too_low(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:  # until no float lies between
        low, high = (middle, high) if is_too_low(middle) else (low, middle)

    if p == 0.5:
        return 0.0
    return high if p > 0.5 else -high


def _incomplete_beta(a: float, b: float, x: float, complement: float) -> float:
    """The regularised incomplete beta function I_x(a, b), with complement = 1 - x.

    Lentz's algorithm on its continued fraction (DLMF 8.17.22), on the side where that converges
    fast.
    """
    if x == 0 or complement == 0:
        return float(complement == 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, complement, x)

    tiny = 1e-300  # replaces a denominator that is 0
    c, d, m, change = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny), 0, 0.0
    fraction = d
    while abs(change - 1) > 1e-15:
        m += 1
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            c, d = 1 + term / c or tiny, 1 / (1 + term * d or tiny)
            change = c * d
            fraction *= change

    log_front = (
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log(complement)
    )
    return math.exp(log_front) * fraction / a
