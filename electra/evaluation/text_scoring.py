"""Scores and tables of tasks that give a text one label or one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from electra.evaluation.calibration import expected_calibration_error, log_loss
from electra.evaluation.classification import confusion_matrix
from electra.evaluation.metrics import METRICS
from electra.evaluation.scoring import Outputs, Scoring
from electra.tasks.task import Example, Task, TaskData


def one_line_text(example: Example) -> str:
    """A text, or both of a pair, without line ends."""
    return " ".join(" / ".join(example.texts).split())


class ClassScoring(Scoring):
    """One of several labels."""

    def is_labelled(self, example: Example) -> bool:
        return example.label >= 0

    def scores(self, task: Task, examples: Sequence[Example], outputs: Outputs) -> dict[str, float]:
        gold, predicted = [example.label for example in examples], np.argmax(outputs, 1)
        return {name: METRICS[name](gold, predicted) for name in (task.metric, *task.also)}

    def gold_word(self, data: TaskData, example: Example) -> str:
        return data.labels[example.label]

    def predicted_word(self, data: TaskData, output: np.ndarray) -> str:
        return data.labels[int(output.argmax())]

    def quality(self, task: Task, example: Example, output: np.ndarray) -> float:
        """The probability of the label."""
        return float(output[example.label])

    def further_columns(self, data: TaskData, output: np.ndarray) -> dict[str, str]:
        return {f"p({label})": f"{p:.4f}" for label, p in zip(data.labels, output, strict=True)}

    def text(self, example: Example) -> str:
        return one_line_text(example)

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float, float]:
        gold = [example.label for example in data.dev]
        return log_loss(gold, outputs), expected_calibration_error(gold, outputs)[0]

    def details(self, data: TaskData, outputs: Outputs) -> dict[str, Any]:
        """The confusion matrix, and the bins of the calibration."""
        gold = [example.label for example in data.dev]
        confusion = confusion_matrix(gold, np.argmax(outputs, 1), len(data.labels))
        _, bins = expected_calibration_error(gold, outputs)
        calibration = [
            {
                "from": one.low,
                "to": one.high,
                "count": one.count,
                "confidence": one.confidence,
                "accuracy": one.accuracy,
            }
            for one in bins
        ]
        return {"confusion": confusion.tolist(), "calibration": calibration}

    def floor(self, data: TaskData) -> tuple[str, float]:
        """Of always giving the commonest label of dev."""
        return "majority class", self.majority_score(data)

    def majority_score(self, data: TaskData) -> float:
        counts = np.bincount([example.label for example in data.dev], minlength=len(data.labels))
        outputs = np.tile(np.eye(len(data.labels))[counts.argmax()], (len(data.dev), 1))
        return self.scores(data.task, data.dev, outputs)[data.task.metric]


class RegressionScoring(Scoring):
    """A number."""

    def is_labelled(self, example: Example) -> bool:
        return not math.isnan(example.label)

    def scores(self, task: Task, examples: Sequence[Example], outputs: Outputs) -> dict[str, float]:
        gold, predicted = [example.label for example in examples], np.asarray(outputs)[:, 0]
        return {name: METRICS[name](gold, predicted) for name in (task.metric, *task.also)}

    def gold_word(self, data: TaskData, example: Example) -> str:
        return f"{example.label:.4f}"

    def predicted_word(self, data: TaskData, output: np.ndarray) -> str:
        return f"{output[0]:.4f}"

    def quality(self, task: Task, example: Example, output: np.ndarray) -> float:
        """Minus the distance from the value."""
        return -abs(example.label - float(output[0]))

    def text(self, example: Example) -> str:
        return one_line_text(example)

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float, None]:
        """The mean squared error."""
        gold = np.array([example.label for example in data.dev])
        return float(np.mean((gold - np.asarray(outputs)[:, 0]) ** 2)), None
