"""Scores and tables of tasks that give each word a tag.

W: words of a sentence, C: tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from electra.evaluation.metrics import METRICS
from electra.evaluation.scoring import Outputs, Scoring
from electra.tasks.tag_schemes import OUTSIDE, Span, spans_of
from electra.tasks.task import Sentence, Task, TaskData


class SpanCounts:
    """Spans that were predicted, that are right, and that should be there, by type."""

    def __init__(self, pairs: Iterable[tuple[Sequence[Span], Sequence[Span]]]) -> None:
        """pairs: (gold, predicted) spans of each sentence."""
        self.gold: Counter[str] = Counter()
        self.predicted: Counter[str] = Counter()
        self.correct: Counter[str] = Counter()
        for gold, predicted in pairs:
            self.gold.update(span.type for span in gold)
            self.predicted.update(span.type for span in predicted)
            self.correct.update(span.type for span in set(gold) & set(predicted))

    def scores(self, kind: str | None = None) -> dict[str, float]:
        """Precision, recall and F1 of one type, or of all together (micro).

        A span is right where its type and both ends are. A score without spans to divide by is 0,
        as in `conlleval`.
        """
        gold, predicted, correct = (
            counts.total() if kind is None else counts[kind]
            for counts in (self.gold, self.predicted, self.correct)
        )
        precision = correct / predicted if predicted else 0.0
        recall = correct / gold if gold else 0.0
        total = precision + recall
        span_f1 = 2 * precision * recall / total if total else 0.0
        return {"span_f1": span_f1, "precision": precision, "recall": recall}


class TagScoring(Scoring):
    """A tag for each word: spans in IOB2, or plain classes of words."""

    def is_labelled(self, example: Sentence) -> bool:
        return example.tags is not None

    def scores(
        self, task: Task, examples: Sequence[Sentence], outputs: Outputs
    ) -> dict[str, float]:
        names = (task.metric, *task.also)
        gold = [np.array(example.tags) for example in examples]
        predicted = [output.argmax(-1) for output in outputs]
        if "span_f1" in names:
            counts = SpanCounts(
                (spans_of(words_of(task.labels, a)), spans_of(words_of(task.labels, b)))
                for a, b in zip(gold, predicted, strict=True)
            )
            found = counts.scores()
            return {name: found[name] for name in names}
        return {
            name: METRICS[name](np.concatenate(gold), np.concatenate(predicted)) for name in names
        }

    def gold_word(self, data: TaskData, example: Sentence) -> str:
        assert example.tags is not None
        return " ".join(words_of(data.labels, example.tags))

    def predicted_word(self, data: TaskData, output: np.ndarray) -> str:
        return " ".join(words_of(data.labels, output.argmax(-1)))

    def quality(self, task: Task, example: Sentence, output: np.ndarray) -> float:
        """The least probability of a right tag."""
        assert example.tags is not None
        return float(output[np.arange(len(example.tags)), list(example.tags)].min())

    def text(self, example: Sentence) -> str:
        return example.text

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float | None, float | None]:
        """The mean cross-entropy of the words."""
        right = np.concatenate(
            [
                output[np.arange(len(example.tags)), list(example.tags)]
                for example, output in zip(data.dev, outputs, strict=True)
            ]
        )
        return float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean()), None

    def details(self, data: TaskData, outputs: Outputs) -> dict[str, Any]:
        """`by_type`: scores and counts of each type of span; `type_confusion`: counts of [gold,
        predicted] types of words, O included."""
        gold = [words_of(data.labels, example.tags) for example in data.dev]
        predicted = [words_of(data.labels, output.argmax(-1)) for output in outputs]
        details: dict[str, Any] = {"confusion": None, "calibration": None}
        types = sorted({_type_of(label) for label in data.labels})
        index = {name: i for i, name in enumerate(types)}
        confusion = np.zeros((len(types), len(types)), np.int64)
        for of_gold, of_predicted in zip(gold, predicted, strict=True):
            for a, b in zip(of_gold, of_predicted, strict=True):
                confusion[index[_type_of(a)], index[_type_of(b)]] += 1
        details["type_confusion"] = {"types": types, "words": confusion.tolist()}
        if "span_f1" in (data.task.metric, *data.task.also):
            counts = SpanCounts(
                (spans_of(a), spans_of(b)) for a, b in zip(gold, predicted, strict=True)
            )
            details["by_type"] = {
                name: {
                    **counts.scores(name),
                    "gold": counts.gold[name],
                    "predicted": counts.predicted[name],
                }
                for name in types
                if name != OUTSIDE
            }
        return details


def words_of(labels: Sequence[str], tags: Iterable[Any]) -> list[str]:
    """Indices of tags as the tags themselves."""
    return [labels[int(tag)] for tag in tags]


def _type_of(label: str) -> str:
    """The type of a tag such as B-NP, the tag itself where it has none."""
    return label[2:] if label[1:2] == "-" else label
