"""Each measure against a slow definition of its own, and at its degenerate cases."""

import math

import numpy as np
import pytest

from electra import metrics

CLASS_MEASURES = (metrics.accuracy, metrics.precision, metrics.recall, metrics.f1, metrics.matthews)
ALL_MEASURES = (*CLASS_MEASURES, metrics.pearson, metrics.spearman, metrics.roc_auc)


def draws(seed, size=60, classes=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, size), rng.integers(0, classes, size)


def slow_ranks(values):
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def slow_auc(labels, scores):
    pairs = [(p, n) for p, a in zip(scores, labels) if a for n, b in zip(scores, labels) if not b]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def one_hot_correlation(labels, predictions):
    """Matthews by definition: covariance of the one-hot matrices, summed over the classes, over the deviations."""
    classes = sorted({*labels, *predictions})
    y = np.array([[float(a == c) for c in classes] for a in labels])
    p = np.array([[float(a == c) for c in classes] for a in predictions])
    y, p = y - y.mean(0), p - p.mean(0)
    return (y * p).sum() / math.sqrt((y * y).sum() * (p * p).sum())


@pytest.mark.parametrize("seed", range(5))
def test_binary_measures_match_counts_by_hand(seed):
    y, p = draws(seed)
    hits = sum(a == 1 and b == 1 for a, b in zip(y, p))
    prec, rec = hits / sum(p), hits / sum(y)
    assert metrics.accuracy(y, p) == pytest.approx(sum(a == b for a, b in zip(y, p)) / len(y))
    assert metrics.precision(y, p) == pytest.approx(prec)
    assert metrics.recall(y, p) == pytest.approx(rec)
    assert metrics.f1(y, p) == pytest.approx(2 * prec * rec / (prec + rec))


@pytest.mark.parametrize("classes", (2, 3, 7))
def test_matthews_is_the_correlation_of_one_hot_vectors(classes):
    for seed in range(5):
        y, p = draws(seed, classes=classes)
        p = np.where(np.random.default_rng(seed + 100).random(len(y)) < 0.4, y, p)
        assert metrics.matthews(y, p) == pytest.approx(one_hot_correlation(y, p))


def test_matthews_of_two_classes_is_pearson_and_survives_large_counts():
    y, p = draws(0, size=200)
    p[:80] = y[:80]
    assert metrics.matthews(y, p) == pytest.approx(metrics.pearson(y, p))
    assert metrics.matthews(np.tile(y, 5_000), np.tile(p, 5_000)) == pytest.approx(metrics.matthews(y, p))


@pytest.mark.parametrize("seed", range(5))
def test_pearson_matches_numpy_and_ignores_scale_and_shift(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    expected = np.corrcoef(x, y)[0, 1]
    assert metrics.pearson(x, y) == pytest.approx(expected)
    assert metrics.pearson(x * 1e200, y * 1e-200) == pytest.approx(expected)
    assert metrics.pearson(x, 3 - 2 * y) == pytest.approx(-expected)


@pytest.mark.parametrize("levels", (3, 10, 10_000))
def test_spearman_is_pearson_of_average_ranks(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(0, levels, 50)
    y = (x + rng.integers(0, levels, 50)) // 2
    assert metrics.spearman(x, y) == pytest.approx(np.corrcoef(slow_ranks(x), slow_ranks(y))[0, 1])


@pytest.mark.parametrize("levels", (2, 5, 10_000))
def test_auc_is_the_share_of_pairs_in_order(levels):
    for seed in range(5):
        labels, _ = draws(seed)
        scores = np.random.default_rng(seed).integers(0, levels, len(labels)) + labels
        assert metrics.roc_auc(labels, scores) == pytest.approx(slow_auc(labels, scores))
        assert metrics.roc_auc(labels, -scores) == pytest.approx(1 - slow_auc(labels, scores))


def test_auc_takes_booleans_and_infinite_scores():
    assert metrics.roc_auc([True, False, True], [math.inf, -math.inf, 0.0]) == 1.0


def test_perfect_predictions_score_one_and_never_more():
    labels = [0, 1, 1, 0, 1, 0, 0]
    scores = [measure(labels, labels) for measure in ALL_MEASURES]
    assert scores == pytest.approx([1.0] * len(ALL_MEASURES)) and max(scores) <= 1.0
    assert all(type(score) is float for score in scores)


@pytest.mark.filterwarnings("error")
def test_undefined_cases_have_their_documented_value():
    zeros, ones, mixed = [0, 0, 0], [1, 1, 1], [0, 1, 0]
    assert metrics.precision(mixed, zeros) == 0.0
    assert metrics.recall(zeros, mixed) == 0.0
    assert metrics.f1(zeros, zeros) == 0.0
    assert metrics.matthews(mixed, ones) == metrics.matthews(ones, mixed) == metrics.matthews(ones, ones) == 0.0
    for constant in ([0.1, 0.1, 0.1], [0.0, 0.0, 0.0], [-7, -7, -7]):
        for measure in (metrics.pearson, metrics.spearman):
            assert measure(constant, mixed) == measure(mixed, constant) == 0.0
    assert metrics.roc_auc(ones, [1, 2, 3]) == metrics.roc_auc(zeros, [1, 2, 3]) == 0.5


@pytest.mark.parametrize("measure", ALL_MEASURES)
@pytest.mark.parametrize("pair", (([], []), ([1], [1, 0]), ([[1, 0]], [[1, 0]])))
def test_empty_unequal_or_two_dimensional_input_is_refused(measure, pair):
    with pytest.raises(ValueError, match="expected"):
        measure(*pair)


def test_nan_never_passes_for_a_number():
    for measure in (metrics.pearson, metrics.spearman, metrics.roc_auc):
        with pytest.raises(ValueError, match="NaN"):
            measure([0, 1, 0], [0.5, math.nan, 0.1])
    with pytest.raises(ValueError, match="labels 0 and 1"):
        metrics.roc_auc([0, 2], [0.1, 0.2])


def test_mean_sd_divides_by_n_minus_one():
    assert metrics.mean_sd([2.0, 4.0, 9.0]) == pytest.approx((5.0, math.sqrt((9 + 1 + 16) / 2)))
    assert metrics.mean_sd([3.5]) == (3.5, 0.0)
    with pytest.raises(ValueError):
        metrics.mean_sd([])
