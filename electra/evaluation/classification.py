"""Metrics of a classifier's predictions, by hand in numpy.

They take labels (N,) first and predictions (N,), or scores (N,), second and return a Python float.
A metric that is undefined, because a class never occurs, has the value that its docstring states.
`f1` and `matthews`, which results are made of, then give a `RuntimeWarning` that names the metric
and the reason. `precision`, `recall` and `roc_auc` do not warn: they are logged while a model
trains, and a missing class is common in a batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from electra.evaluation.checks import class_ids, paired_arrays, undefined_score
from electra.evaluation.correlation import average_ranks, clip_correlation


def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of predictions that equal their label."""
    y, p = paired_arrays(labels, predictions)
    return float(np.mean(y == p))


def precision(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the predictions of class 1 that are right; 0.0 where class 1 is never predicted."""
    y, p = paired_arrays(labels, predictions)
    predicted = np.count_nonzero(p == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / predicted) if predicted else 0.0


def recall(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of the labels of class 1 that are found; 0.0 where no label is 1."""
    y, p = paired_arrays(labels, predictions)
    positive = np.count_nonzero(y == 1)
    return float(np.count_nonzero((y == 1) & (p == 1)) / positive) if positive else 0.0


def f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Harmonic mean of precision and recall of class 1.

    0.0, with a warning, where neither labels nor predictions hold a 1.
    """
    y, p = paired_arrays(labels, predictions)
    if not ((y == 1).any() or (p == 1).any()):
        return undefined_score("F1", "neither labels nor predictions hold class 1")
    return _f1_of_class(y, p, 1)


def macro_f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean of the F1 of each class that occurs in labels or predictions.

    The F1 of such a class is always defined: 0.0 where only one of the two holds the class.
    """
    y, p = paired_arrays(labels, predictions)
    classes = np.unique(np.concatenate([y, p]))
    return float(np.mean([_f1_of_class(y, p, c) for c in classes]))


def matthews(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Matthews correlation for any number of classes (Gorodkin 2004), in [-1, 1].

    0.0, with a warning, where the labels, or the predictions, are all of one class.
    """
    y, p = paired_arrays(labels, predictions)
    classes = np.unique(np.concatenate([y, p]))

    # Shares, not counts: products of counts would overflow int64 at about 50,000 examples a class.
    y_share = np.array([np.mean(y == c) for c in classes])
    p_share = np.array([np.mean(p == c) for c in classes])

    for column, share in (("labels", y_share), ("predictions", p_share)):
        if share.max() == 1.0:
            return undefined_score("Matthews correlation", f"all {column} are of one class")

    covariance = np.mean(y == p) - y_share @ p_share
    variances = (1 - y_share @ y_share) * (1 - p_share @ p_share)
    return clip_correlation(covariance / np.sqrt(variances))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a random positive scores above a random negative; a tie counts one half.

    labels (N,) of 0 and 1 (or bool), scores (N,). 0.5, without a warning, where all labels are the
    same. ValueError for other labels and for NaN among the scores.
    """
    y, s = paired_arrays(labels, scores)
    if not np.isin(y, (0, 1)).all():
        raise ValueError("ROC AUC needs labels 0 and 1")
    if np.isnan(s).any():
        raise ValueError("ROC AUC needs scores that are numbers, got NaN")

    positive = y == 1
    num_positive = np.count_nonzero(positive)
    num_negative = len(y) - num_positive
    if num_positive == 0 or num_negative == 0:
        return 0.5

    # Mann-Whitney: the rank sum of the positives minus the sum that they would have if every
    # positive were below every negative.
    wins = average_ranks(s)[positive].sum() - num_positive * (num_positive + 1) / 2
    return float(wins / num_positive / num_negative)


def confusion_matrix(
    labels: ArrayLike, predictions: ArrayLike, num_classes: int
) -> NDArray[np.int64]:
    """Counts (C, C), a row for each label and a column for each prediction.

    Labels and predictions (N,) are classes from 0 to C - 1; ValueError for anything else.
    """
    y, p = paired_arrays(labels, predictions)
    y, p = class_ids(y, num_classes), class_ids(p, num_classes)
    counts = np.bincount(y * num_classes + p, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _f1_of_class(y: NDArray, p: NDArray, c: object) -> float:
    """F1 of a class that occurs: 2 · hits / (labels + predictions)."""
    hits = np.count_nonzero((y == c) & (p == c))
    return float(2 * hits / (np.count_nonzero(y == c) + np.count_nonzero(p == c)))
