"""Metrics of a classifier's probabilities: the loss, and whether its confidence can be trusted.

N: examples, C: classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from electra.evaluation.checks import class_ids

SMALLEST_PROBABILITY = float(np.finfo(np.float64).eps)  # 2.2e-16, the least that `log_loss` uses
ROW_SUM_TOLERANCE = 1e-3  # float32 is off by 1e-6, a row of logits by far more


@dataclass(frozen=True)
class Bin:
    """Examples whose confidence is in (low, high]. An empty bin has no confidence or accuracy."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean of the highest probabilities
    accuracy: float | None  # share of the predictions that are right


def log_loss(labels: ArrayLike, probs: ArrayLike) -> float:
    """Mean of -log p(label), in nats, for labels (N,) of classes 0 to C - 1 and probs (N, C).

    A probability below `SMALLEST_PROBABILITY` counts as that, so one example costs at most 36.04.
    ValueError for labels that are not such classes, and for rows that are not probabilities.
    """
    y, q = _labels_and_probabilities(labels, probs)
    of_labels = np.clip(q[np.arange(len(y)), y], SMALLEST_PROBABILITY, 1.0)
    return float(np.mean(-np.log(of_labels)))


def expected_calibration_error(
    labels: ArrayLike, probs: ArrayLike, bins: int = 15
) -> tuple[float, list[Bin]]:
    """The error, from 0.0 to 1.0, and its bins (Guo et al. 2017, section 2).

    labels (N,) of classes 0 to C - 1, probs (N, C). The confidence of an example is the highest
    probability in its row. The bins have equal width and are open below; the first is (0, 1/bins].
    The error is the mean of |accuracy - confidence| over the bins, weighted by their examples.
    ValueError as in `log_loss`, and for fewer than one bin.
    """
    y, q = _labels_and_probabilities(labels, probs)
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")

    confidence, right = q.max(1), q.argmax(1) == y
    edges = np.arange(bins + 1) / bins
    bin_of = np.searchsorted(edges[1:-1], confidence, side="left")

    found, error = [], 0.0
    for i in range(bins):
        inside = bin_of == i
        low, high, count = float(edges[i]), float(edges[i + 1]), int(inside.sum())
        if not count:
            found.append(Bin(low, high, 0, None, None))
            continue
        mean_confidence, accuracy = float(confidence[inside].mean()), float(right[inside].mean())
        found.append(Bin(low, high, count, mean_confidence, accuracy))
        error += count * abs(accuracy - mean_confidence)

    return error / len(y), found


def _labels_and_probabilities(
    labels: ArrayLike, probs: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Checked labels (N,) and probs (N, C)."""
    y, q = np.asarray(labels), np.asarray(probs, dtype=np.float64)
    if q.ndim != 2 or y.shape != q.shape[:1] or len(y) == 0:
        raise ValueError(
            f"expected labels (N,) and probabilities (N, C), got shapes {y.shape} and {q.shape}"
        )
    # NaN makes both comparisons False.
    if not (q.min() >= 0 and np.abs(q.sum(1) - 1).max() <= ROW_SUM_TOLERANCE):
        raise ValueError("expected probabilities: not below 0, each row with the sum 1")
    return class_ids(y, q.shape[1]), q
