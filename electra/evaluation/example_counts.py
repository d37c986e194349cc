"""Scores that are made of sums over examples: of spans, of several labels, of answers.

Each example gives a few counts, and the score of a set is a function of their sum. So a resample is
scored from the counts, without the predictions.

N: examples, K: counts of an example.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra.evaluation.answers import answer_f1, exact_match
from electra.evaluation.label_scoring import label_counts, label_matrix, macro_f1, micro_f1
from electra.tasks.labels import EMPTY_CELL
from electra.tasks.tag_schemes import spans_of


class Counted(NamedTuple):
    """A metric of one kind of task."""

    # (gold cell, predicted cell, labels, separator) of a table of predictions -> (K,)
    counts: Callable[[str, str, tuple[str, ...], str], list[float]]
    score: Callable[[NDArray], float]  # of the sum over examples, (K,)


def _span_counts(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    """Right spans, predicted spans, spans that should be there."""
    a, b = set(spans_of(gold.split(" "))), set(spans_of(predicted.split(" ")))
    return [len(a & b), len(b), len(a)]


def _span_f1(sums: NDArray) -> float:
    right, predicted, gold = sums
    return float(2 * right / (predicted + gold)) if right else 0.0


def _tag_counts(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    """Right words, words."""
    a, b = gold.split(" "), predicted.split(" ")
    if len(a) != len(b):
        raise ValueError(f"{len(b)} tags where there should be {len(a)}")
    return [float(sum(x == y for x, y in zip(a, b, strict=True))), float(len(a))]


def _label_cells(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    """Of each label: given rightly, given wrongly, missed."""

    def row(cell: str) -> NDArray[np.bool_]:
        names = [] if cell == EMPTY_CELL else cell.split(separator)
        unknown = [name for name in names if name not in labels]
        if unknown:
            raise ValueError(f"{unknown[0]!r:.40} is not among the labels, {', '.join(labels)}")
        return label_matrix([[labels.index(name) for name in names]], len(labels))

    counts = label_counts(row(gold), row(predicted))
    return [float(count) for count in counts.flatten()]


def _answers_of(gold: str, predicted: str) -> tuple[list[str], str]:
    try:
        answers, answer = json.loads(gold), json.loads(predicted)
    except (ValueError, RecursionError):
        raise ValueError("an answer that is not JSON") from None
    if not (isinstance(answer, str) and isinstance(answers, list)):
        raise ValueError("an answer that is no string")
    return [str(one) for one in answers], answer


def _f1_count(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    answers, answer = _answers_of(gold, predicted)
    return [answer_f1(answer, answers), 1.0]


def _exact_count(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    answers, answer = _answers_of(gold, predicted)
    return [exact_match(answer, answers), 1.0]


def _mean(sums: NDArray) -> float:
    return float(sums[0] / sums[1])


def _rank_of(predicted: str) -> float:
    try:
        rank = float(predicted)
    except ValueError:
        rank = 0.0
    if not rank >= 1:
        raise ValueError(f"{predicted!r:.40} is not a rank from 1 on")
    return rank


def _rank_count(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    return [1 / _rank_of(predicted), 1.0]


def _first_count(gold: str, predicted: str, labels: tuple[str, ...], separator: str) -> list[float]:
    return [float(_rank_of(predicted) == 1), 1.0]


# (kind of task, metric) -> how it is made of counts. The other kinds have `METRICS`.
COUNTED: dict[tuple[str, str], Counted] = {
    ("tags", "span_f1"): Counted(_span_counts, _span_f1),
    ("tags", "accuracy"): Counted(_tag_counts, _mean),
    ("labels", "micro_f1"): Counted(_label_cells, lambda sums: micro_f1(sums.reshape(-1, 3))),
    ("labels", "macro_f1"): Counted(_label_cells, lambda sums: macro_f1(sums.reshape(-1, 3))),
    ("spans", "answer_f1"): Counted(_f1_count, _mean),
    ("spans", "exact_match"): Counted(_exact_count, _mean),
    ("vectors", "mrr"): Counted(_rank_count, _mean),
    ("vectors", "recall_at_1"): Counted(_first_count, _mean),
}


class PairedCounts(NamedTuple):
    """The counts of both sides on the same examples."""

    a: NDArray[np.float64]  # (S of A, N, K)
    b: NDArray[np.float64]  # (S of B, N, K)


def resampled_count_differences(
    score: Callable[[NDArray], float], pair: PairedCounts, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Differences in the score of A and B on resamples, (samples,)."""
    count = pair.a.shape[1]
    drawn = np.empty(samples)
    for i in range(samples):
        times = np.bincount(rng.integers(0, count, count), minlength=count)  # each is drawn
        score_a, score_b = (np.mean([score(times @ of_seed) for of_seed in side]) for side in pair)
        drawn[i] = score_a - score_b
    return drawn.round(12)
