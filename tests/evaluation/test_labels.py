"""Several labels at once: thresholds, micro and macro F1."""

import numpy as np
import pytest

from electra.evaluation.label_scoring import (
    LabelScoring,
    best_thresholds,
    label_counts,
    label_matrix,
    macro_f1,
    micro_f1,
)
from electra.tasks.task import Example, Task, TaskData

pytestmark = pytest.mark.fast

LABELS = ("red", "green", "blue")
TASK = Task("t", LABELS, LABELS, kind="labels", metric="micro_f1", also=("macro_f1",))


def data_of(*labels):
    dev = [Example(f"text {i}", None, one) for i, one in enumerate(labels)]
    return TaskData(TASK, LABELS, dev, dev, None)


def outputs_of(probabilities, thresholds=0.5):
    p = np.array(probabilities, np.float32)
    return np.stack([p, np.broadcast_to(np.float32(thresholds), p.shape)], -1)


def test_f1_by_hand():
    gold, given = label_matrix([(0, 1), (1,), ()], 3), label_matrix([(0,), (1, 2), ()], 3)
    counts = label_counts(gold, given)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert micro_f1(counts) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert macro_f1(counts) == pytest.approx((1 + 2 / 3 + 0) / 3)
    nothing = label_counts(label_matrix([()], 3), label_matrix([()], 3))
    assert micro_f1(nothing) == macro_f1(nothing) == 0.0


def test_thresholds_are_the_best_on_dev():
    rng = np.random.default_rng(0)
    for _ in range(20):
        gold = rng.random((30, 3)) < 0.3
        p = np.round(rng.random((30, 3)) * 0.5 + gold * 0.3, 2)  # with equal ones
        data = data_of(*(tuple(np.flatnonzero(row).tolist()) for row in gold))
        chosen = best_thresholds(data, p)
        for i, threshold in enumerate(chosen):

            def f1(t, i=i):
                return micro_f1(label_counts(gold[:, i : i + 1], p[:, i : i + 1] >= t))

            others = [f1(t) for t in np.arange(0.0, 1.01, 0.005)]
            assert f1(threshold) >= max(others) - 1e-9


def test_a_label_that_never_occurs_keeps_the_middle():
    assert best_thresholds(data_of((0,), ()), np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]]))[1:] == (
        0.5,
        0.5,
    )


def test_tables_and_details():
    data, scoring = data_of((0, 2), ()), LabelScoring()
    outputs = outputs_of([[0.9, 0.4, 0.8], [0.1, 0.2, 0.3]], (0.5, 0.4, 0.5))
    assert scoring.gold_word(data, data.dev[0]) == "red|blue"
    assert scoring.gold_word(data, data.dev[1]) == "-"
    assert scoring.predicted_word(data, outputs[0]) == "red|green|blue"
    assert scoring.further_columns(data, outputs[1])["p(green)"] == "0.2000"
    assert scoring.details(data, outputs)["by_label"]["green"] == {
        "f1": 0.0,
        "threshold": pytest.approx(0.4),
        "gold": 0,
        "predicted": 1,
    }
    assert scoring.quality(TASK, data.dev[0], outputs[0]) < scoring.quality(
        TASK, data.dev[1], outputs[1] * [1, 1] * np.array([0.1, 1])
    )
    assert scoring.is_labelled(data.dev[1]) and not scoring.is_labelled(Example("", None, -1))
