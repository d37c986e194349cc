"""Measures of a classifier and of a regression, and what is needed to compare two, by hand in numpy.

The measures of `METRICS` take two 1-D sequences of equal, non-zero length, labels first, and return a Python float.

Defined, warned, never NaN in silence: where a measure is undefined (a class that never occurs, a constant column, a
single example) it has the value that its docstring states, and those that results are made of, `f1`, `matthews`,
`pearson` and `spearman`, give a `RuntimeWarning` that names the measure and the reason. (`accuracy` and `macro_f1`
are always defined.) `precision`, `recall` and `roc_auc` have stated values too, but no warning: they are logged while
a model trains, on batches where a missing class is no news.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST = float(
    np.finfo(np.float64).eps
)  # 2.2e-16, the least probability that `log_loss` counts with
ROWS_SUM_TO_ONE = 1e-3  # within this; float32 is off by 1e-6, a row of logits by far more


class Bin(NamedTuple):
    """Examples whose confidence is in (low, high]. Without any, there is no confidence and no accuracy."""

    low: float
    high: float
    count: int
    confidence: float | None  # mean of the highest probabilities
    accuracy: float | None  # share of them that are right


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
    """Share of the predictions "1" that are right; 0.0, without a warning, where nothing was predicted to be 1."""
    y, p = _pair(labels, predictions)
    predicted = np.count_nonzero(p == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / predicted) if predicted else 0.0


def recall(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the labels "1" that were found; 0.0, without a warning, where no label is 1."""
    y, p = _pair(labels, predictions)
    positive = np.count_nonzero(y == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / positive) if positive else 0.0


def f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Harmonic mean of precision and recall of class 1; 0.0 where neither labels nor predictions hold a 1."""
    y, p = _pair(labels, predictions)
    if not ((y == 1).any() or (p == 1).any()):
        return _undefined("F1", "neither labels nor predictions hold class 1")
    return _f1_of(y, p, 1)


def macro_f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean over the classes that occur, in labels or predictions, of each class's F1.

    Such a class has an F1 (0.0 where only one of the two holds it), so this is always defined.
    """
    y, p = _pair(labels, predictions)
    return float(np.mean([_f1_of(y, p, c) for c in np.unique(np.concatenate([y, p]))]))


def matthews(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004), in [-1, 1].

    0.0 where the labels, or the predictions, are all of one class.
    """
    y, p = _pair(labels, predictions)
    classes = np.unique(np.concatenate([y, p]))
    # Shares rather than counts: products of counts would leave int64 at about 50,000 examples a class.
    y_share = np.array([np.mean(y == c) for c in classes])
    p_share = np.array([np.mean(p == c) for c in classes])
    for column, share in (("labels", y_share), ("predictions", p_share)):
        if share.max() == 1.0:
            return _undefined("Matthews correlation", f"all {column} are of one class")
    covariance = np.mean(y == p) - y_share @ p_share
    return _clip(covariance / np.sqrt((1 - y_share @ y_share) * (1 - p_share @ p_share)))


def pearson(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Linear correlation of labels (N,) and predictions (N,), in [-1, 1]; 0.0 where either is constant.

    ValueError for NaN and infinity.
    """
    y, p = _finite_pair(labels, predictions)
    return _correlation("Pearson correlation", y, p)


def spearman(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Correlation of the ranks of labels (N,) and predictions (N,), ties at their average rank, in [-1, 1]; 0.0 where
    either is constant.

    ValueError for NaN and infinity.
    """
    y, p = _finite_pair(labels, predictions)
    return _correlation("Spearman correlation", _ranks(y), _ranks(p))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative, a tie counting one half.

    labels (N,) of 0 and 1 (or bool), scores (N,). 0.5, without a warning, where all labels are the same.
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


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}


# ---------------------------------------------------------------- probabilities


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int
) -> NDArray[np.int64]:
    """Counts (C, C) for labels and predictions (N,) of classes 0 to C - 1: rows gold, columns predicted.

    ValueError for anything that is not such a class.
    """
    y, p = _pair(labels, predictions)
    y, p = _class_ids(y, num_classes), _class_ids(p, num_classes)
    return np.bincount(y * num_classes + p, minlength=num_classes**2).reshape(
        num_classes, num_classes
    )


def log_loss(labels: ArrayLike, probs: ArrayLike) -> float:
    """Mean of -log p(gold), in nats, for labels (N,) of classes 0 to C - 1 and probs (N, C).

    A probability below `SMALLEST` counts as `SMALLEST`, so one example costs at most 36.04. ValueError for labels that
    are no such class, and for rows that are no probabilities.
    """
    y, q = _probabilities(labels, probs)
    return float(np.mean(-np.log(np.clip(q[np.arange(len(y)), y], SMALLEST, 1.0))))


def calibration(labels: ArrayLike, probs: ArrayLike, bins: int = 15) -> tuple[float, list[Bin]]:
    """Expected calibration error of the predicted label, and the bins it comes from (Guo et al. 2017, section 2).

    labels (N,) of classes 0 to C - 1, probs (N, C). Confidence is a row's highest probability; bins are of equal width
    and open below, (0, 1/bins] the first. The error is the mean of |accuracy - confidence| over the bins, each
    weighed by its examples: 0.0 to 1.0. ValueError as in `log_loss`, and for fewer than one bin.
    """
    y, q = _probabilities(labels, probs)
    if bins < 1:
        raise ValueError(f"expected at least one bin, got {bins}")
    confidence, right = q.max(1), q.argmax(1) == y
    edges = np.arange(bins + 1) / bins
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    found = []
    for i in range(bins):
        here = place == i
        any_ = bool(here.any())
        found.append(
            Bin(
                float(edges[i]),
                float(edges[i + 1]),
                int(here.sum()),
                float(confidence[here].mean()) if any_ else None,
                float(right[here].mean()) if any_ else None,
            )
        )
    error = sum(b.count * abs(b.accuracy - b.confidence) for b in found if b.count) / len(y)
    return float(error), found


# ---------------------------------------------------------------- several scores


def mean_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (divisor n - 1) of at least one value; the deviation of one value is 0.0."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise ValueError("expected at least one value, got none")
    return float(v.mean()), float(v.std(ddof=1)) if len(v) > 1 else 0.0


def median(values: Sequence[float]) -> float:
    """The middle one of at least one value; of an even number, the mean of the middle two. ValueError for NaN."""
    v = np.asarray(values, dtype=np.float64)
    if v.ndim != 1 or len(v) == 0:
        raise ValueError("expected at least one value, got none")
    if np.isnan(v).any():
        raise ValueError("a median needs numbers, got NaN")
    return float(np.median(v))


def student_t_quantile(p: float, degrees_of_freedom: float) -> float:
    """The t below which a share p of Student's distribution lies. Degrees of freedom need not be whole.

    Right to 1e-9 of its value up to 10,000 degrees of freedom (beyond, the logarithms of gamma lose digits).
    ValueError for p outside [1e-100, 1), and for degrees of freedom below 1 or infinite.
    """
    df = degrees_of_freedom
    if not 1e-100 <= p < 1:
        raise ValueError(f"expected a share above 0 and below 1, got {p}")
    if not 1 <= df < math.inf:
        raise ValueError(f"expected degrees of freedom of 1 or more, got {df}")
    tail = min(p, 1 - p)

    def too_low(t: float) -> bool:
        # By the share outside (-t, t) or the one within, whichever is the smaller at p: the larger one would lose
        # digits. So would 1 - df / (df + t²), hence both shares of df + t².
        outer, inner = df / (df + t * t), t * t / (df + t * t)
        if tail < 0.25:
            return _incomplete_beta(df / 2, 0.5, outer, inner) > 2 * tail
        return _incomplete_beta(0.5, df / 2, inner, outer) < 1 - 2 * tail

    low, high = 0.0, 1.0
    while too_low(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:  # until no float lies between
        low, high = (middle, high) if too_low(middle) else (low, middle)
    return high if p > 0.5 else -high if p < 0.5 else 0.0


def _incomplete_beta(a: float, b: float, x: float, rest: float) -> float:
    """The regularised incomplete beta function I_x(a, b), with rest = 1 - x, by its continued fraction (DLMF 8.17.22)
    after Lentz, on the side where that converges fast."""
    if x == 0 or rest == 0:
        return float(rest == 0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, rest, x)
    tiny = 1e-300  # in place of a denominator that happens to be 0
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
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    return math.exp(log_front) * fraction / a


# ---------------------------------------------------------------- parts of the above


def _undefined(measure: str, why: str, depth: int = 1) -> float:
    """0.0, with a warning that points at the caller of the measure, `depth` calls above this one."""
    warnings.warn(
        f"{measure} is undefined, {why}: 0.0 stands in for it", RuntimeWarning, stacklevel=2 + depth
    )
    return 0.0


def _f1_of(y: NDArray, p: NDArray, c: object) -> float:
    """2 · hits / (labels + predictions) of a class that occurs."""
    hits = np.count_nonzero((y == c) & (p == c))
    return float(2 * hits / (np.count_nonzero(y == c) + np.count_nonzero(p == c)))


def _correlation(measure: str, y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    y, p = _unit(y), _unit(p)
    for column, values in (("labels", y), ("predictions", p)):
        if not values.any():
            why = "there is a single example" if len(values) == 1 else f"all {column} are equal"
            return _undefined(measure, why, depth=2)
    return _clip(y @ p)


def _class_ids(values: NDArray, num_classes: int) -> NDArray[np.int64]:
    known = np.isin(values, np.arange(num_classes))
    if not known.all():
        raise ValueError(f"expected classes 0 to {num_classes - 1}, got {values[~known][0]}")
    return values.astype(np.int64)


def _probabilities(
    labels: ArrayLike, probs: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Checked labels (N,) and probs (N, C)."""
    y, q = np.asarray(labels), np.asarray(probs, dtype=np.float64)
    if q.ndim != 2 or y.shape != q.shape[:1] or len(y) == 0:
        raise ValueError(
            f"expected labels (N,) and probabilities (N, C), got shapes {y.shape} and {q.shape}"
        )
    if not (q.min() >= 0 and np.abs(q.sum(1) - 1).max() <= ROWS_SUM_TO_ONE):  # NaN fails both
        raise ValueError("expected probabilities: not below 0, each row with the sum 1")
    return _class_ids(y, q.shape[1]), q


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
