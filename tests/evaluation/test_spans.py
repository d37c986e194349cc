"""Scores of spans: those of the CoNLL evaluation, and of seqeval where it is installed."""

import random

import numpy as np
import pytest

from electra.evaluation.tag_scoring import SpanCounts, TagScoring
from electra.tasks.tag_schemes import spans_of
from electra.tasks.task import Sentence, Task, TaskData

pytestmark = pytest.mark.fast

LABELS = ("O", "B-A", "I-A", "B-B", "I-B")
TASK = Task("t", LABELS, LABELS, kind="tags", metric="span_f1", also=("precision", "recall"))


def counts(gold, predicted):
    return SpanCounts([(spans_of(gold.split()), spans_of(predicted.split()))])


def outputs(sentences):
    """Probabilities by which these tags are predicted."""
    return [np.eye(len(LABELS), dtype=np.float32)[[LABELS.index(t) for t in s]] for s in sentences]


def data_of(gold):
    dev = [Sentence(("w",) * len(s), tuple(map(LABELS.index, s))) for s in gold]
    return TaskData(TASK, LABELS, dev, dev, None)


def test_a_span_is_right_where_its_type_and_both_ends_are():
    found = counts("B-A I-A O B-B", "B-A I-A O B-A")
    assert found.scores() == {"span_f1": 0.5, "precision": 0.5, "recall": 0.5}
    assert found.scores("B") == {"span_f1": 0.0, "precision": 0.0, "recall": 0.0}
    half = counts("B-A I-A O O", "B-A O O B-A")
    assert half.scores() == {"span_f1": 0.0, "precision": 0.0, "recall": 0.0}
    assert counts("B-A O B-B", "B-A O O").scores("A")["span_f1"] == 1.0


def test_scores_are_those_of_all_sentences_together():
    gold = [["B-A", "I-A"], ["O", "B-B"], ["B-B", "O"]]
    predicted = [["B-A", "I-A"], ["B-B", "O"], ["B-B", "O"]]
    data = data_of(gold)
    scores = TagScoring().scores(TASK, data.dev, outputs(predicted))
    assert scores == pytest.approx({"span_f1": 2 / 3, "precision": 2 / 3, "recall": 2 / 3})
    details = TagScoring().details(data, outputs(predicted))
    assert details["by_type"]["A"] == {
        "span_f1": 1.0,
        "precision": 1.0,
        "recall": 1.0,
        "gold": 1,
        "predicted": 1,
    }
    assert details["type_confusion"] == {
        "types": ["A", "B", "O"],
        "words": [[2, 0, 0], [0, 1, 1], [0, 1, 1]],
    }


def test_words_without_spans_are_scored_word_by_word():
    task = Task("t", LABELS, LABELS, kind="tags", metric="accuracy", also=("macro_f1",))
    dev = [Sentence(("a", "b"), (0, 1)), Sentence(("c",), (0,))]
    assert TagScoring().scores(task, dev, outputs([["O", "O"], ["O"]]))["accuracy"] == 2 / 3


@pytest.mark.parametrize("strict", [False, True])
def test_scores_are_those_of_seqeval(strict):
    """In seqeval's default mode for any tags, in its strict mode for tags that are IOB2."""
    metrics = pytest.importorskip("seqeval.metrics")
    scheme = pytest.importorskip("seqeval.scheme")
    draw = random.Random(0)
    sentences = [
        [[draw.choice(LABELS) for _ in range(draw.randint(1, 8))] for _ in range(40)]
        for _ in range(5)
    ]
    for gold in sentences:
        predicted = [[draw.choice((tag, draw.choice(LABELS))) for tag in s] for s in gold]
        if strict:  # each I- follows its like
            from electra.tasks.tag_schemes import to_iob2

            gold, predicted = ([to_iob2(s) for s in side] for side in (gold, predicted))
        settings = {"mode": "strict", "scheme": scheme.IOB2} if strict else {}
        found = SpanCounts(
            (spans_of(a), spans_of(b)) for a, b in zip(gold, predicted, strict=True)
        ).scores()
        assert found["span_f1"] == pytest.approx(metrics.f1_score(gold, predicted, **settings))
        assert found["recall"] == pytest.approx(metrics.recall_score(gold, predicted, **settings))
