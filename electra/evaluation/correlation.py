"""Pearson's and Spearman's correlation, by hand in numpy.

Both take labels (N,) first and predictions (N,) second and return a Python float in [-1, 1].
Where a column is constant, or there is a single example, the correlation is undefined: the score is
then 0.0, with a `RuntimeWarning` that names the metric and the reason.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from electra.evaluation.checks import paired_finite_arrays, undefined_score


def pearson(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Linear correlation. ValueError for NaN and infinity."""
    y, p = paired_finite_arrays(labels, predictions)
    return _correlation("Pearson correlation", y, p)


def spearman(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Correlation of the ranks; ties share their average rank. ValueError for NaN and infinity."""
    y, p = paired_finite_arrays(labels, predictions)
    return _correlation("Spearman correlation", average_ranks(y), average_ranks(p))


def average_ranks(values: NDArray) -> NDArray[np.float64]:
    """Ranks from 1, (N,) -> (N,); equal values share the mean of the ranks that they span."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def clip_correlation(correlation: float) -> float:
    """To [-1, 1]: rounding can leave a perfect correlation at 1.0000000000000002."""
    return float(min(1.0, max(-1.0, correlation)))


def _correlation(metric: str, y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    y, p = _unit_vector(y), _unit_vector(p)

    for column, values in (("labels", y), ("predictions", p)):
        if not values.any():
            single = len(values) == 1
            reason = "there is a single example" if single else f"all {column} are equal"
            return undefined_score(metric, reason, depth=2)

    return clip_correlation(float(y @ p))


def _unit_vector(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred and of length 1, (N,) -> (N,); zeros where all values are the same."""
    # Scaled before squaring, so that squares neither overflow nor vanish, and so that a constant
    # column becomes ones, whose mean is exact.
    centred = values / (np.abs(values).max() or 1.0)
    centred = centred - centred.mean()
    centred = centred / (np.abs(centred).max() or 1.0)
    return centred / (np.linalg.norm(centred) or 1.0)
