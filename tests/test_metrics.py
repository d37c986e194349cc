"""Each metric against a slow definition of its own, at its degenerate cases, and against
scikit-learn and SciPy where those are installed."""

import math
import statistics
import warnings

import numpy as np
import pytest

from electra.evaluation import calibration, classification, correlation, metrics
from electra.evaluation.statistics import mean_sd, median, student_t_quantile

CLASS_METRICS = (
    classification.accuracy,
    classification.precision,
    classification.recall,
    classification.f1,
    classification.macro_f1,
    classification.matthews,
)
ALL_METRICS = (*CLASS_METRICS, correlation.pearson, correlation.spearman, classification.roc_auc)
EXACT = 1e-9

# A warning that no test asks for is a failure.
pytestmark = [pytest.mark.fast, pytest.mark.filterwarnings("error")]


def draws(seed, size=60, classes=2):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, size), rng.integers(0, classes, size)


def slow_ranks(values):
    return [sum(w < v for w in values) + (sum(w == v for w in values) + 1) / 2 for v in values]


def slow_auc(labels, scores):
    pairs = [
        (p, n)
        for p, a in zip(scores, labels, strict=True)
        if a
        for n, b in zip(scores, labels, strict=True)
        if not b
    ]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def one_hot_correlation(labels, predictions):
    """Matthews by definition: the covariance of the one-hot matrices, summed over the classes,
    divided by their deviations."""
    classes = sorted({*labels, *predictions})
    y = np.array([[float(a == c) for c in classes] for a in labels])
    p = np.array([[float(a == c) for c in classes] for a in predictions])
    y, p = y - y.mean(0), p - p.mean(0)
    return (y * p).sum() / math.sqrt((y * y).sum() * (p * p).sum())


@pytest.mark.parametrize("seed", range(5))
def test_binary_measures_match_counts_by_hand(seed):
    y, p = draws(seed)
    hits = sum(a == 1 and b == 1 for a, b in zip(y, p, strict=True))
    prec, rec = hits / sum(p), hits / sum(y)
    assert classification.accuracy(y, p) == pytest.approx(
        sum(a == b for a, b in zip(y, p, strict=True)) / len(y)
    )
    assert classification.precision(y, p) == pytest.approx(prec)
    assert classification.recall(y, p) == pytest.approx(rec)
    assert classification.f1(y, p) == pytest.approx(2 * prec * rec / (prec + rec))


@pytest.mark.parametrize("classes", (2, 3, 7))
def test_macro_f1_is_the_mean_of_f1_with_each_class_as_the_one_that_counts(classes):
    y, p = draws(classes, size=30, classes=classes)
    by_hand = [
        classification.f1((y == c).astype(int), (p == c).astype(int))
        for c in {*y.tolist(), *p.tolist()}
    ]
    assert classification.macro_f1(y, p) == pytest.approx(sum(by_hand) / len(by_hand))
    assert classification.macro_f1([0, 0, 1, 7], [0, 1, 1, 0]) == pytest.approx(
        (0.5 + 2 / 3 + 0.0) / 3
    )  # 0, 1 and 7


@pytest.mark.parametrize("classes", (2, 3, 7))
def test_matthews_is_the_correlation_of_one_hot_vectors(classes):
    for seed in range(5):
        y, p = draws(seed, classes=classes)
        p = np.where(np.random.default_rng(seed + 100).random(len(y)) < 0.4, y, p)
        assert classification.matthews(y, p) == pytest.approx(one_hot_correlation(y, p))


def test_matthews_of_two_classes_is_pearson_and_survives_large_counts():
    y, p = draws(0, size=200)
    p[:80] = y[:80]
    assert classification.matthews(y, p) == pytest.approx(correlation.pearson(y, p))
    assert classification.matthews(np.tile(y, 5_000), np.tile(p, 5_000)) == pytest.approx(
        classification.matthews(y, p)
    )


@pytest.mark.parametrize("seed", range(5))
def test_pearson_matches_numpy_and_ignores_scale_and_shift(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=40)
    y = x + rng.normal(size=40)
    expected = np.corrcoef(x, y)[0, 1]
    assert correlation.pearson(x, y) == pytest.approx(expected)
    assert correlation.pearson(x * 1e200, y * 1e-200) == pytest.approx(expected)
    assert correlation.pearson(x, 3 - 2 * y) == pytest.approx(-expected)


@pytest.mark.parametrize("levels", (3, 10, 10_000))
def test_spearman_is_pearson_of_average_ranks(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(0, levels, 50)
    y = (x + rng.integers(0, levels, 50)) // 2
    assert correlation.spearman(x, y) == pytest.approx(
        np.corrcoef(slow_ranks(x), slow_ranks(y))[0, 1]
    )


@pytest.mark.parametrize("levels", (2, 5, 10_000))
def test_auc_is_the_share_of_pairs_in_order(levels):
    for seed in range(5):
        labels, _ = draws(seed)
        scores = np.random.default_rng(seed).integers(0, levels, len(labels)) + labels
        assert classification.roc_auc(labels, scores) == pytest.approx(slow_auc(labels, scores))
        assert classification.roc_auc(labels, -scores) == pytest.approx(
            1 - slow_auc(labels, scores)
        )


def test_auc_takes_booleans_and_infinite_scores():
    assert classification.roc_auc([True, False, True], [math.inf, -math.inf, 0.0]) == 1.0


def test_perfect_predictions_score_one_and_never_more():
    labels = [0, 1, 1, 0, 1, 0, 0]
    scores = [metric(labels, labels) for metric in ALL_METRICS]
    assert scores == pytest.approx([1.0] * len(ALL_METRICS)) and max(scores) <= 1.0
    assert all(type(score) is float for score in scores)


ZEROS, ONES, MIXED = [0, 0, 0], [1, 1, 1], [0, 1, 0]


def test_what_is_logged_in_training_has_its_stated_value_in_silence():
    assert classification.precision(MIXED, ZEROS) == 0.0
    assert classification.recall(ZEROS, MIXED) == 0.0
    assert (
        classification.roc_auc(ONES, [1, 2, 3]) == classification.roc_auc(ZEROS, [1, 2, 3]) == 0.5
    )


@pytest.mark.parametrize(
    "metric, labels, predictions, message",
    (
        (
            classification.f1,
            ZEROS,
            ZEROS,
            "F1 is undefined, neither labels nor predictions hold class 1: 0.0 stands in for it",
        ),
        (classification.f1, [2, 0], [0, 2], "F1 .* class 1"),
        (classification.f1, [0], [0], "F1 .* class 1"),
        (
            classification.matthews,
            ONES,
            MIXED,
            "Matthews correlation is undefined, all labels are of one class",
        ),
        (
            classification.matthews,
            MIXED,
            ONES,
            "Matthews correlation is undefined, all predictions are of one class",
        ),
        (classification.matthews, ONES, ONES, "Matthews .* all labels"),
        (classification.matthews, [1], [0], "Matthews .* all labels"),
        *(
            (metric, *pair, f"{name} correlation is undefined, {why}")
            for metric, name in (
                (correlation.pearson, "Pearson"),
                (correlation.spearman, "Spearman"),
            )
            for constant in ([0.1, 0.1, 0.1], [0.0, 0.0, 0.0], [-7, -7, -7])
            for pair, why in (
                ((constant, MIXED), "all labels are equal"),
                ((MIXED, constant), "all predictions are equal"),
                (([0.3], [0.7]), "there is a single example"),
            )
        ),
    ),
)
def test_an_undefined_score_has_its_stated_value_and_one_warning_at_the_call(
    metric, labels, predictions, message
):
    with pytest.warns(RuntimeWarning, match=message) as caught:
        score = metric(labels, predictions)
    assert type(score) is float and score == 0.0
    assert len(caught) == 1 and caught[0].filename == __file__


def test_scores_that_are_zero_or_one_by_definition_give_no_warning():
    assert classification.f1(MIXED, ZEROS) == classification.f1(ZEROS, MIXED) == 0.0
    assert classification.macro_f1(ZEROS, ONES) == 0.0
    assert (
        classification.macro_f1(ZEROS, ZEROS)
        == classification.macro_f1([5], [5])
        == classification.accuracy([0], [0])
        == 1.0
    )


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize("pair", (([], []), ([1], [1, 0]), ([[1, 0]], [[1, 0]])))
def test_empty_unequal_or_two_dimensional_input_is_refused(metric, pair):
    with pytest.raises(ValueError, match="expected"):
        metric(*pair)


def test_nan_never_passes_for_a_number():
    for metric in (correlation.pearson, correlation.spearman, classification.roc_auc):
        with pytest.raises(ValueError, match="NaN"):
            metric([0, 1, 0], [0.5, math.nan, 0.1])
    with pytest.raises(ValueError, match="labels 0 and 1"):
        classification.roc_auc([0, 2], [0.1, 0.2])


def test_the_table_names_what_a_task_can_be_scored_by():
    assert list(metrics.METRICS) == [
        "accuracy",
        "f1",
        "macro_f1",
        "matthews",
        "pearson",
        "spearman",
    ]
    assert all(metrics.METRICS[name] is getattr(metrics, name) for name in metrics.METRICS)


# ---------------------------------------------------------------- probabilities


def some_probs(seed, size=200, classes=3):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet([0.5] * classes, size)
    return np.array([rng.choice(classes, p=row) for row in probs]), probs


def test_confusion_matrix_counts_gold_in_rows():
    matrix = classification.confusion_matrix([0, 0, 0, 1, 2, 2], [0, 1, 1, 1, 0, 2], 4)
    assert matrix.tolist() == [[1, 2, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert np.issubdtype(matrix.dtype, np.integer)


@pytest.mark.parametrize(
    "labels, predictions", (([0, 3], [0, 1]), ([0, 1], [-1, 0]), ([0, 0.5], [0, 1]))
)
def test_confusion_matrix_refuses_what_is_no_class(labels, predictions):
    with pytest.raises(ValueError, match="expected classes 0 to 2"):
        classification.confusion_matrix(labels, predictions, 3)


def test_log_loss_is_the_mean_of_minus_log_gold():
    labels, probs = some_probs(0)
    expected = sum(-math.log(row[label]) for label, row in zip(labels, probs, strict=True)) / len(
        labels
    )
    assert calibration.log_loss(labels, probs) == pytest.approx(expected, rel=EXACT)
    assert calibration.log_loss([0], [[1.0, 0.0]]) == 0.0
    assert calibration.log_loss([0, 1], np.full((2, 2), 0.5, np.float32)) == pytest.approx(
        math.log(2)
    )


def test_log_loss_of_a_gold_label_of_no_probability_is_finite():
    assert calibration.log_loss([1], [[1.0, 0.0]]) == pytest.approx(36.04, abs=0.01)
    assert calibration.log_loss([1, 0], [[1.0, 0.0]] * 2) == pytest.approx(
        -math.log(calibration.SMALLEST_PROBABILITY) / 2
    )


def test_calibration_by_hand():
    """Four bins. Confidences 0.5 and 0.4 in (0.25, 0.5], 0.75 in (0.5, 0.75], 1.0 in (0.75, 1]."""
    probs = [[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.25, 0.0, 0.75], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    error, bins = calibration.expected_calibration_error([0, 0, 2, 1, 0], probs, bins=4)
    assert [(b.low, b.high, b.count) for b in bins] == [
        (0, 0.25, 0),
        (0.25, 0.5, 2),
        (0.5, 0.75, 1),
        (0.75, 1.0, 2),
    ]
    assert [b.confidence for b in bins] == [None, pytest.approx(0.45), 0.75, 1.0]
    assert [b.accuracy for b in bins] == [None, 0.5, 1.0, 0.5]
    assert error == pytest.approx((2 * 0.05 + 1 * 0.25 + 2 * 0.5) / 5)


@pytest.mark.parametrize("bins", (1, 3, 15))
def test_calibration_is_the_gap_of_each_bin_weighed_by_its_examples(bins):
    labels, probs = some_probs(bins)
    error, found = calibration.expected_calibration_error(labels, probs, bins)
    slow = 0.0
    for i in range(bins):
        rows = [
            (max(row), int(np.argmax(row)) == label)
            for row, label in zip(probs, labels, strict=True)
            if i / bins < max(row) <= (i + 1) / bins
        ]
        assert found[i].count == len(rows)
        if rows:
            slow += abs(
                sum(right for _, right in rows) - sum(confidence for confidence, _ in rows)
            ) / len(labels)
    assert error == pytest.approx(slow, rel=EXACT)


def test_calibration_finds_the_calibrated_and_the_overconfident():
    labels, probs = some_probs(1, size=10_000)
    assert calibration.expected_calibration_error(labels, probs)[0] < 0.03
    sure = np.eye(3)[probs.argmax(1)]
    wrong = np.mean(sure.argmax(1) != labels)
    assert calibration.expected_calibration_error(labels, sure)[0] == pytest.approx(wrong)


def test_a_confidence_at_an_edge_belongs_to_the_bin_below():
    for k in range(8, 16):  # two classes: the likelier has at least one half
        [place] = [
            i
            for i, b in enumerate(
                calibration.expected_calibration_error([0], [[k / 15, 1 - k / 15]])[1]
            )
            if b.count
        ]
        assert place == k - 1


@pytest.mark.parametrize("metric", (calibration.log_loss, calibration.expected_calibration_error))
@pytest.mark.parametrize(
    "labels, probs, message",
    (
        ([], np.zeros((0, 2)), "expected labels"),
        ([0, 1], [[0.5, 0.5]], "expected labels"),
        ([0], [0.5], "expected labels"),
        ([2], [[0.5, 0.5]], "classes 0 to 1"),
        ([-1], [[0.5, 0.5]], "classes 0 to 1"),
        ([0], [[2.0, -1.0]], "not below 0"),
        ([0], [[0.5, 0.6]], "the sum 1"),
        ([0], [[math.nan, 1.0]], "the sum 1"),
    ),
)
def test_what_is_no_probability_of_a_class_is_refused(metric, labels, probs, message):
    with pytest.raises(ValueError, match=message):
        metric(labels, probs)


def test_calibration_needs_a_bin():
    with pytest.raises(ValueError, match="at least one bin"):
        calibration.expected_calibration_error([0], [[1.0, 0.0]], bins=0)


# ---------------------------------------------------------------- several scores


def test_median_is_the_middle():
    for values in ([3.0], [3, 1], [5, 1, 2], [4.0, 1.0, 3.0, 1.0]):
        assert median(values) == statistics.median(values) and type(median(values)) is float
    for nothing in ([], [1.0, math.nan]):
        with pytest.raises(ValueError):
            median(nothing)


@pytest.mark.parametrize(
    "p", (0.01, 0.4, 0.5, 0.5 + 1e-9, 0.6, 0.74, 0.75, 0.76, 0.9, 0.975, 0.9995, 1 - 1e-9)
)
def test_student_quantiles_match_the_closed_forms_for_one_two_and_four_degrees(p):
    t = student_t_quantile
    tail = 4 * p * (1 - p)
    tangent = (
        math.tan(math.pi * (p - 0.5)) if p < 0.75 else 1 / math.tan(math.pi * (1 - p))
    )  # where it has digits
    assert t(p, 1) == pytest.approx(tangent, rel=1e-9, abs=0)
    assert t(p, 2) == pytest.approx((2 * p - 1) * math.sqrt(2 / tail), rel=1e-9, abs=0)
    if p > 0.5001:  # closer to a half, this form has lost its digits
        q = math.cos(math.acos(math.sqrt(tail)) / 3) / math.sqrt(tail)
        assert t(p, 4) == pytest.approx(2 * math.sqrt(q - 1), rel=1e-9)


def test_student_quantiles_undo_the_integral_of_the_density():
    for df in (1.7, 3, 12.5, 60):
        for p in (0.55, 0.8, 0.975):
            x, weights = np.polynomial.legendre.leggauss(200)
            reach = student_t_quantile(p, df)
            density = (1 + (reach * (x + 1) / 2) ** 2 / df) ** (-(df + 1) / 2)
            front = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(
                df * math.pi
            )
            assert 0.5 + front * reach / 2 * (weights @ density) == pytest.approx(p, rel=1e-12)


def test_student_quantiles_are_symmetric_and_become_normal():
    assert student_t_quantile(0.025, 7.3) == -student_t_quantile(0.975, 7.3)
    assert student_t_quantile(0.5, 3) == 0.0
    assert student_t_quantile(0.975, 1e6) == pytest.approx(
        statistics.NormalDist().inv_cdf(0.975), rel=1e-5
    )


@pytest.mark.parametrize(
    "p, df", ((0, 3), (1, 3), (math.nan, 3), (0.9, 0), (0.9, math.inf), (0.9, math.nan))
)
def test_student_quantiles_refuse_what_has_none(p, df):
    with pytest.raises(ValueError, match="expected"):
        student_t_quantile(p, df)


def test_mean_sd_divides_by_n_minus_one():
    assert mean_sd([2.0, 4.0, 9.0]) == pytest.approx((5.0, math.sqrt((9 + 1 + 16) / 2)))
    assert mean_sd([3.5]) == (3.5, 0.0)
    with pytest.raises(ValueError):
        mean_sd([])


# ---------------------------------------------------------------- other libraries

DEGENERATE = ([0, 0, 0], [1, 1, 1], [0, 1, 0], [2, 2, 1], [1, 0, 2])


def quietly(metric, *args, **settings):
    """Both sides warn where a metric is undefined; here it is the value that matters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(*args, **settings)


@pytest.fixture
def sklearn_metrics():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sklearn.metrics")


@pytest.fixture
def stats():
    return pytest.importorskip("scipy.stats")


def class_pairs():
    """Random ones of 2, 3 and 7 classes, near and far from perfect, and all degenerate ones."""
    for classes in (2, 3, 7):
        for seed in range(10):
            y, p = draws(seed, size=5 + 40 * seed, classes=classes)
            yield y, np.where(np.random.default_rng(seed + 100).random(len(y)) < seed / 10, y, p)
    yield from ((y, p) for y in DEGENERATE for p in DEGENERATE)
    yield from (([y], [p]) for y in range(3) for p in range(3))


def test_class_measures_equal_scikit_learn(sklearn_metrics):
    sk = sklearn_metrics
    for y, p in class_pairs():
        one = {
            "labels": [1],
            "average": "macro",
            "zero_division": 0,
        }  # class 1 of any number of classes
        expected = (
            sk.accuracy_score(y, p),
            quietly(sk.precision_score, y, p, **one),
            quietly(sk.recall_score, y, p, **one),
            quietly(sk.f1_score, y, p, **one),
            quietly(sk.f1_score, y, p, average="macro", zero_division=0),
            quietly(sk.matthews_corrcoef, y, p),
        )
        found = [quietly(metric, y, p) for metric in CLASS_METRICS]
        assert found == pytest.approx(expected, rel=EXACT, abs=EXACT), (y, p)
        matrix = classification.confusion_matrix(y, p, 7)
        assert (matrix == quietly(sk.confusion_matrix, y, p, labels=range(7))).all()


def test_auc_equals_scikit_learn(sklearn_metrics):
    for seed in range(10):
        labels, _ = draws(seed)
        scores = (
            np.random.default_rng(seed).integers(0, 3 + 1000 * (seed % 2), len(labels)) + labels
        )
        expected = sklearn_metrics.roc_auc_score(labels, scores)
        assert classification.roc_auc(labels, scores) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("classes", (2, 3, 7))
def test_log_loss_equals_scikit_learn(sklearn_metrics, classes):
    labels, probs = some_probs(classes, classes=classes)
    probs[:5] = np.eye(classes)[
        (labels[:5] + [0, 1, 0, 1, 0]) % classes
    ]  # certain, and right or wrong
    expected = sklearn_metrics.log_loss(labels, probs, labels=range(classes))
    assert calibration.log_loss(labels, probs) == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("levels", (2, 5, 100_000))
def test_correlations_equal_scipy(stats, levels):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.integers(0, levels, 3 + 30 * seed) / 7
        y = x + rng.integers(0, levels, len(x))
        if min(np.ptp(x), np.ptp(y)) > 0:
            assert correlation.pearson(x, y) == pytest.approx(
                stats.pearsonr(x, y).statistic, rel=EXACT, abs=EXACT
            )
            assert correlation.spearman(x, y) == pytest.approx(
                stats.spearmanr(x, y).statistic, rel=EXACT, abs=EXACT
            )


def test_correlations_stand_at_zero_where_scipy_has_nan(stats):
    for x, y in (([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [0.1, 0.1, 0.1]), ([2, 2], [2, 2])):
        for mine, other in (
            (correlation.pearson, stats.pearsonr),
            (correlation.spearman, stats.spearmanr),
        ):
            assert math.isnan(quietly(other, x, y).statistic) and quietly(mine, x, y) == 0.0


def test_student_quantiles_equal_scipy(stats):
    shares = np.array([0.5, 0.51, 0.6, 0.7499, 0.75, 0.9, 0.95, 0.975, 0.995, 0.9995])
    for df in (*range(1, 31), 1.01, 2.7, 9.99, 50, 99.5, 100, 150, 199, 200):
        found = [student_t_quantile(p, df) for p in shares]
        assert found == pytest.approx(stats.t.ppf(shares, df), rel=EXACT, abs=0)
