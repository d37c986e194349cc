"""What the metrics share: checked arrays, and the warning for a score that is undefined.

N: examples, C: classes.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray


def paired_arrays(first: ArrayLike, second: ArrayLike) -> tuple[NDArray, NDArray]:
    """Both as arrays (N,). ValueError where they are empty, not 1-D or of unequal length."""
    a, b = np.asarray(first), np.asarray(second)

    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"expected two 1-D sequences, got shapes {a.shape} and {b.shape}")
    if len(a) != len(b):
        raise ValueError(f"expected sequences of equal length, got {len(a)} and {len(b)}")
    if len(a) == 0:
        raise ValueError("expected at least one value, got none")

    return a, b


def paired_finite_arrays(
    first: ArrayLike, second: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `paired_arrays`, in float64. ValueError for NaN and infinity too."""
    a, b = paired_arrays(first, second)
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("expected finite values, got NaN or infinity")
    return a, b


def class_ids(values: NDArray, num_classes: int) -> NDArray[np.int64]:
    """Values (N,) as int64. ValueError for a value that is not a class from 0 to C - 1."""
    known = np.isin(values, np.arange(num_classes))
    if not known.all():
        raise ValueError(f"expected classes 0 to {num_classes - 1}, got {values[~known][0]}")
    return values.astype(np.int64)


def undefined_score(metric: str, reason: str, depth: int = 1) -> float:
    """Warn that a metric is undefined and return 0.0, the score that it then has.

    The warning points at the caller of the metric, which is `depth` calls above this function.
    """
    warnings.warn(
        f"{metric} is undefined, {reason}: 0.0 stands in for it",
        RuntimeWarning,
        stacklevel=2 + depth,
    )
    return 0.0
