"""Measures of a classifier, by hand in numpy.

Every function takes 1-D sequences of equal, non-zero length and returns a Python float. Where a measure is undefined
(a class that never occurs, a constant column) it has a stated value, so no NaN reaches a log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray, NDArray]:
    """Both as 1-D arrays (N,). ValueError where they are empty, not 1-D or of unequal length."""
    a, b = np.asarray(first), np.asarray(second)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"expected two 1-D sequences, got shapes {a.shape} and {b.shape}")
    if len(a) != len(b):
        raise ValueError(f"expected sequences of equal length, got {len(a)} and {len(b)}")
    if len(a) == 0:
        raise ValueError("expected at least one value, got none")
    return a, b


def _finite_pair(first: ArrayLike, second: ArrayLike) -> tuple[NDArray, NDArray]:
    """As `_pair`, in float64. ValueError for NaN and infinity."""
    a, b = _pair(first, second)
    a, b = a.astype(np.float64), b.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("expected finite values, got NaN or infinity")
    return a, b


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of predictions (N,) that equal their label (N,)."""
    y, p = _pair(labels, predictions)
    return float(np.mean(y == p))


def precision(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the predictions "1" that are right; 0.0 where nothing was predicted to be 1."""
    y, p = _pair(labels, predictions)
    predicted = np.count_nonzero(p == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / predicted) if predicted else 0.0


def recall(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the labels "1" that were found; 0.0 where no label is 1."""
    y, p = _pair(labels, predictions)
    positive = np.count_nonzero(y == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / positive) if positive else 0.0


def f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Harmonic mean of precision and recall of class 1; 0.0 where neither labels nor predictions hold a 1."""
    y, p = _pair(labels, predictions)
    size = np.count_nonzero(y == 1) + np.count_nonzero(p == 1)
    return float(2 * np.count_nonzero((y == 1) & (p == 1)) / size) if size else 0.0


def matthews(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004), in [-1, 1].

    0.0 where the labels, or the predictions, are all of one class.
    """
    y, p = _pair(labels, predictions)
    classes = np.unique(np.concatenate([y, p]))
    # Shares rather than counts: products of counts would leave int64 at about 50,000 examples a class.
    y_share = np.array([np.mean(y == c) for c in classes])
    p_share = np.array([np.mean(p == c) for c in classes])
    if y_share.max() == 1.0 or p_share.max() == 1.0:
        return 0.0
    covariance = np.mean(y == p) - y_share @ p_share
    return _clip(covariance / np.sqrt((1 - y_share @ y_share) * (1 - p_share @ p_share)))


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Linear correlation of x (N,) and y (N,), in [-1, 1]; 0.0 where either is constant.

    ValueError for NaN and infinity.
    """
    a, b = _finite_pair(x, y)
    return _clip(_unit(a) @ _unit(b))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Correlation of the ranks of x (N,) and y (N,), ties at their average rank; 0.0 where either is constant.

    ValueError for NaN and infinity.
    """
    a, b = _finite_pair(x, y)
    return pearson(_ranks(a), _ranks(b))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, a tie counting one half.

    labels (N,) of 0 and 1 (or bool), scores (N,). 0.5 where all labels are the same.
    ValueError for other labels and for NaN among the scores.
    """
    y, s = _pair(labels, scores)
    if not np.isin(y, (0, 1)).all():
        raise ValueError("ROC AUC needs labels 0 and 1")
    if np.isnan(s).any():
        raise ValueError("ROC AUC needs scores that are numbers, got NaN")
    positive = y == 1
    n_positive = np.count_nonzero(positive)
    n_negative = len(y) - n_positive
    if n_positive == 0 or n_negative == 0:
        return 0.5
    # Mann-Whitney: the positives' rank sum, less what it would be were every positive below every negative.
    wins = _ranks(s)[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(wins / n_positive / n_negative)


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (divisor n - 1) of at least one value; the deviation of one value is 0.0."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise ValueError("expected at least one value, got none")
    return float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0


def _ranks(values: NDArray) -> NDArray[np.float64]:
    """Ranks from 1, (N,) -> (N,); equal values share the mean of the ranks that they span."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centred and of length 1, (N,) -> (N,); zeros where all values are the same."""
    # Scaled before squaring, so that squares neither overflow nor vanish, and so that a constant column becomes
    # ones, whose mean is exact.
    centred = values / (np.abs(values).max() or 1.0)
    centred = centred - centred.mean()
    centred = centred / (np.abs(centred).max() or 1.0)
    return centred / (np.linalg.norm(centred) or 1.0)


def _clip(correlation: float) -> float:
    """Rounding can leave a perfect correlation at 1.0000000000000002."""
    return float(min(1.0, max(-1.0, correlation)))
