"""What fine-tuning does differently for each kind of task: ids, model, outputs, collapse.

N: examples, C: classes or tags, T: tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from electra.config import FinetuneConfig, ModelConfig
from electra.data.examples import Encoded
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer
from electra.evaluation.scoring import Outputs
from electra.model.fine_tuned import FineTunedModel
from electra.tasks.task import TaskData
from electra.training.evaluate import entropy_of

FEWEST = 20  # held-out examples, or words, from which on equal answers are a collapse


class TaskKind(ABC):
    """One kind of task. It has no state."""

    # What a model does of which `is_constant` is true, as the end of a sentence.
    constant: str

    @abstractmethod
    def texts(self, example: Any) -> Iterator[str]:
        """The texts of an example, to train a tokenizer on."""

    @abstractmethod
    def encode(
        self,
        tokenizer: Tokenizer | CachedTokenizer,
        examples: list[Any],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        """Examples in ids."""

    @abstractmethod
    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        """A model with a new head."""

    @abstractmethod
    def activate(self, logits: Tensor) -> Tensor:
        """What is kept of the logits of texts (B, C) or tokens (B, T, C)."""

    @abstractmethod
    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> Outputs:
        """What the model says of each example, as `Scoring` describes it.

        rows: for each row of `encoded` its activated logits, (C,) or (T, C).
        """

    def choose_thresholds(self, data: TaskData, outputs: Outputs) -> tuple[float, ...]:
        """The thresholds above which a model says yes, from its outputs for dev.

        Empty where the kind has none.
        """
        return ()

    def with_thresholds(self, outputs: Outputs, thresholds: tuple[float, ...]) -> Outputs:
        """The same outputs, judged by these thresholds."""
        return outputs

    def label_counts(self, data: TaskData) -> np.ndarray | None:
        """Training examples, or words, of each class, (C,) int64; None without classes."""
        return None

    def unread_loss(self, data: TaskData, class_weights: Tensor | None = None) -> float | None:
        """The training loss of always answering with the classes' shares; None without classes.

        class_weights: (C,) float32, those of the model.
        """
        counts = self.label_counts(data)
        if counts is None:
            return None
        shares = counts.astype(float)
        if class_weights is not None:
            shares *= class_weights.numpy()
        return entropy_of(shares / shares.sum())

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        """Whether a model says the same of everything, of enough examples to tell."""
        return False


def unit_of(data: TaskData) -> float:
    """What the values of a task with scores are multiplied by; 1 for others."""
    return data.task.scale or 1.0
