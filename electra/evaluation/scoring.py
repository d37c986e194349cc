"""What a kind of task must say so that its predictions can be scored and written into tables.

N: examples of a set, W: words of a sentence, C: classes or tags.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from electra.tasks.task import Task, TaskData

# What a model says of a set, one for each example.
Outputs = Sequence[Any] | np.ndarray


class Scoring(ABC):
    """The scores and the tables of one kind of task. It has no state.

    `outputs` are what a model says of a set, one for each example:

    classes       probabilities (C,)
    regression    the value (1,), in the task's unit
    tags          probabilities (W, C)
    labels        (C, 2): the probability of each yes, and the threshold above which it is one
    spans         an `answers.Prediction`
    """

    @abstractmethod
    def is_labelled(self, example: Any) -> bool:
        """Whether it is known what is right for an example; a set is labelled or it is not."""

    @abstractmethod
    def scores(self, task: Task, examples: Sequence[Any], outputs: Outputs) -> dict[str, float]:
        """Every metric of the task, the main one first, as fractions. The set must be labelled."""

    @abstractmethod
    def gold_word(self, data: TaskData, example: Any) -> str:
        """What is right, as a cell of a table: without tabs and line ends."""

    @abstractmethod
    def predicted_word(self, data: TaskData, output: Any) -> str:
        """What the model says, as a cell of a table."""

    @abstractmethod
    def quality(self, task: Task, example: Any, output: Any) -> float:
        """How right an output is; the worst come first in predictions.tsv."""

    def further_columns(self, data: TaskData, output: Any) -> dict[str, str]:
        """Columns of predictions.tsv besides split, index, gold, prediction and text."""
        return {}

    @abstractmethod
    def text(self, example: Any) -> str:
        """The text of an example, in one line."""

    @abstractmethod
    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[float | None, float | None]:
        """(loss, expected calibration error) of one seed on dev; None where there is none."""

    def details(self, data: TaskData, outputs: Outputs) -> dict[str, Any]:
        """Further keys of result.json, of the best seed on dev."""
        return {"confusion": None, "calibration": None}

    def floor(self, data: TaskData) -> tuple[str, float] | None:
        """(its name, the score on dev) of a rule that learns nothing; None where there is none."""
        return None
