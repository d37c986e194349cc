"""Scores and tables of tasks that learn a vector for each text from pairs of texts.

N: pairs of a set, C: numbers of a vector.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra.evaluation.metrics import METRICS
from electra.evaluation.scoring import Outputs, Scoring
from electra.evaluation.text_scoring import one_line_text
from electra.tasks.task import Example, Task, TaskData

ROWS = 1_024  # of a matrix of cosines at a time
DIGITS = 6  # of a cosine in a table
# Of ranks (N,), 1 for a partner that is nearer than all others.
RANK_METRICS = {
    "mrr": lambda ranks: float(np.mean(1 / ranks)),
    "recall_at_1": lambda ranks: float(np.mean(ranks == 1)),
}


class VectorScoring(Scoring):
    """The cosine of two texts against a score or, without scores, a text's partner among all."""

    def is_labelled(self, example: Example) -> bool:
        return not math.isnan(example.label)

    def scores(self, task: Task, examples: Sequence[Example], outputs: Outputs) -> dict[str, float]:
        values = np.asarray(outputs)[:, 0]
        if not task.scored:
            return {name: RANK_METRICS[name](values) for name in (task.metric, *task.also)}
        gold = [example.label for example in examples]
        return {name: METRICS[name](gold, values) for name in (task.metric, *task.also)}

    def gold_word(self, data: TaskData, example: Example) -> str:
        """The score; without scores 1, the rank of a partner that is nearest."""
        return f"{example.label:.4f}" if data.task.scored else "1"

    def predicted_word(self, data: TaskData, output: NDArray) -> str:
        return f"{output[0]:.{DIGITS}f}" if data.task.scored else f"{output[0]:g}"

    def quality(self, task: Task, example: Example, output: NDArray) -> float:
        """Minus the distance from the score, or minus the rank."""
        return -abs(example.label - float(output[0])) if task.scored else -float(output[0])

    def further_columns(self, data: TaskData, output: NDArray) -> dict[str, str]:
        return {"cosine": f"{output[1]:.{DIGITS}f}"}

    def text(self, example: Example) -> str:
        return one_line_text(example)

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float | None, None]:
        """The mean squared error of scores."""
        if not data.task.scored:
            return None, None
        gold = np.array([example.label for example in data.dev])
        return float(np.mean((gold - np.asarray(outputs)[:, 0]) ** 2)), None

    def floor(self, data: TaskData) -> tuple[str, float] | None:
        """Of the words that the two texts of a pair share; without scores there is none."""
        if not data.task.scored:
            return None
        shared = np.array([[shared_words(e.text_a, e.text_b or ""), 0.0] for e in data.dev])
        return "words in common", self.scores(data.task, data.dev, shared)[data.task.metric]


def shared_words(first: str, second: str) -> float:
    """Cosine of the counts of words of two texts, 0.0 where one has none."""
    a, b = (Counter(text.lower().split()) for text in (first, second))
    lengths = math.hypot(*a.values()) * math.hypot(*b.values())
    return sum(a[word] * b[word] for word in a.keys() & b.keys()) / lengths if lengths else 0.0


def cosines_of_pairs(first: NDArray, second: NDArray) -> NDArray[np.float64]:
    """(N,), of vectors (N, C) of length 1. Where they are not finite the cosine is 0."""
    return np.nan_to_num((first.astype(np.float64) * second).sum(-1), nan=0.0)


def partner_ranks(first: NDArray, second: NDArray, partners: Sequence[Any]) -> NDArray[np.float64]:
    """The rank of each first text's partner among all different second texts, (N,).

    first, second: (N, C) vectors of length 1; partners: the second texts themselves. 1 is nearest;
    equal cosines share the mean of the ranks that they span.
    """
    place = {text: number for number, text in enumerate(dict.fromkeys(partners))}
    own = np.array([place[text] for text in partners])
    _, kept = np.unique(own, return_index=True)
    candidates = np.nan_to_num(second[kept].astype(np.float32))  # (different texts, C)

    ranks = np.empty(len(first))
    for start in range(0, len(first), ROWS):
        rows = slice(start, start + ROWS)
        cosines = np.nan_to_num(first[rows].astype(np.float32)) @ candidates.T
        right = np.take_along_axis(cosines, own[rows, None], 1)
        # The partner itself is one of the equal ones.
        ranks[rows] = (cosines > right).sum(1) + ((cosines == right).sum(1) + 1) / 2
    return ranks
