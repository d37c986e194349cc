"""Scores and tables of tasks that give a text any number of labels.

N: examples, C: labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from electra.evaluation.scoring import Outputs, Scoring
from electra.evaluation.text_scoring import one_line_text
from electra.tasks.labels import EMPTY_CELL
from electra.tasks.task import Example, Task, TaskData


class LabelScoring(Scoring):
    """Any number of several labels."""

    def is_labelled(self, example: Example) -> bool:
        return isinstance(example.label, tuple)

    def scores(self, task: Task, examples: Sequence[Example], outputs: Outputs) -> dict[str, float]:
        gold = label_matrix([example.label for example in examples], np.shape(outputs)[1])
        counts = label_counts(gold, chosen(outputs))
        measures = {"micro_f1": micro_f1, "macro_f1": macro_f1}
        return {name: measures[name](counts) for name in (task.metric, *task.also)}

    def gold_word(self, data: TaskData, example: Example) -> str:
        return self._word(data, example.label)

    def predicted_word(self, data: TaskData, output: np.ndarray) -> str:
        return self._word(data, np.flatnonzero(chosen(output)))

    def _word(self, data: TaskData, labels: Any) -> str:
        return data.task.separator.join(data.labels[int(i)] for i in labels) or EMPTY_CELL

    def quality(self, task: Task, example: Example, output: np.ndarray) -> float:
        """Minus the binary cross-entropy."""
        gold = label_matrix([example.label], len(output))[0]
        right = np.where(gold, output[:, 0], 1 - output[:, 0])
        return float(np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())

    def further_columns(self, data: TaskData, output: np.ndarray) -> dict[str, str]:
        return {
            f"p({label})": f"{p:.4f}" for label, p in zip(data.labels, output[:, 0], strict=True)
        }

    def text(self, example: Example) -> str:
        return one_line_text(example)

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float, None]:
        pairs = zip(data.dev, outputs, strict=True)
        return -float(np.mean([self.quality(data.task, *pair) for pair in pairs])), None

    def details(self, data: TaskData, outputs: Outputs) -> dict[str, Any]:
        """`by_label`: F1, threshold and counts of each label."""
        gold = label_matrix([example.label for example in data.dev], len(data.labels))
        counts = label_counts(gold, chosen(outputs))
        thresholds = np.asarray(outputs)[0, :, 1]
        return {
            **super().details(data, outputs),
            "by_label": {
                label: {
                    "f1": micro_f1(counts[i : i + 1]),
                    "threshold": float(thresholds[i]),
                    "gold": int(counts[i, 0] + counts[i, 2]),
                    "predicted": int(counts[i, 0] + counts[i, 1]),
                }
                for i, label in enumerate(data.labels)
            },
        }


def chosen(outputs: Outputs) -> NDArray[np.bool_]:
    """(…, C, 2) probabilities and thresholds -> (…, C): which labels are given."""
    outputs = np.asarray(outputs)
    return outputs[..., 0] >= outputs[..., 1]


def label_matrix(labels: Sequence[Any], count: int) -> NDArray[np.bool_]:
    """(N, C) bool, from the indices of the labels of each example."""
    matrix = np.zeros((len(labels), count), bool)
    for row, of_example in zip(matrix, labels, strict=True):
        row[list(of_example)] = True
    return matrix


def label_counts(gold: NDArray[np.bool_], given: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(C, 3): how often a label is given rightly, given wrongly, and missed."""
    return np.stack([(gold & given).sum(0), (~gold & given).sum(0), (gold & ~given).sum(0)], 1)


def micro_f1(counts: NDArray) -> float:
    """F1 of all labels together, from counts (C, 3). 0.0 where no label is given or missed."""
    right, wrong, missed = counts.sum(0)
    total = 2 * right + wrong + missed
    return float(2 * right / total) if total else 0.0


def macro_f1(counts: NDArray) -> float:
    """Mean of the F1 of each label that is given or should be."""
    present = counts[counts.sum(1) > 0]
    return float(np.mean([micro_f1(one[None]) for one in present])) if len(present) else 0.0


def best_thresholds(data: TaskData, probabilities: NDArray) -> tuple[float, ...]:
    """For each label the threshold with the best F1 on dev, from probabilities (N, C).

    It is in the middle between two examples, so that it holds for others too; of equally good ones
    the one nearest to 0.5. 0.5 where no example of dev has the label.
    """
    gold = label_matrix([example.label for example in data.dev], len(data.labels))
    return tuple(
        _best_threshold(gold[:, i], probabilities[:, i]) for i in range(probabilities.shape[1])
    )


def _best_threshold(gold: NDArray[np.bool_], p: NDArray) -> float:
    """gold and p are (N,)."""
    if not gold.any():
        return 0.5
    order = np.argsort(-p, kind="stable")
    right = np.cumsum(gold[order])  # where the first 1, 2, … are given
    f1 = 2 * right / (np.arange(1, len(p) + 1) + gold.sum())
    ordered = p[order].astype(np.float64)
    below = np.append(ordered[1:], 0.0)
    f1 = np.where(below < ordered, f1, -1.0)  # equal probabilities are on one side together
    middles = (ordered + below) / 2
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(middles[best[np.abs(middles[best] - 0.5).argmin()]])
