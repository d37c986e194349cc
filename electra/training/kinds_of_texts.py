"""The kinds of tasks that say something of a whole text, or of a pair of texts.

N: examples, C: classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from electra.config import FinetuneConfig, ModelConfig
from electra.data.examples import Encoded, encode_examples
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer
from electra.evaluation.label_scoring import best_thresholds
from electra.evaluation.scoring import Outputs
from electra.model.classifier import Classifier
from electra.model.fine_tuned import FineTunedModel
from electra.tasks.task import Example, TaskData
from electra.training.evaluate import entropy_of
from electra.training.task_kind import FEWEST, TaskKind, unit_of


class TextClasses(TaskKind):
    """One of several labels for a text or a pair."""

    constant = "it gives every text the same class"

    def texts(self, example: Example) -> Iterator[str]:
        yield from example.texts

    def encode(
        self,
        tokenizer: Tokenizer | CachedTokenizer,
        examples: list[Example],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        assert config.max_len is not None and config.truncate is not None
        return encode_examples(
            tokenizer,
            [example.text_a for example in examples],
            [example.text_b for example in examples],
            [self.target(example, data) for example in examples],
            config.max_len,
            config.truncate,
        )

    def target(self, example: Example, data: TaskData) -> Any:
        """What the model learns to say of an example."""
        return example.label

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Classifier(config, len(data.labels), class_weights)

    def activate(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, -1)

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> np.ndarray:
        """Probabilities (N, C) float32. A model that has broken down holds all classes alike."""
        outputs = np.stack(rows)
        return np.where(np.isfinite(outputs), outputs, np.float32(1 / outputs.shape[1]))

    def label_counts(self, data: TaskData) -> np.ndarray | None:
        labels = [example.label for example in data.train]
        return np.bincount(labels, minlength=len(data.labels))

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        return len(outputs) >= FEWEST and len(set(np.argmax(outputs, 1))) == 1


class TextValue(TextClasses):
    """A number for a text or a pair. The model learns it in units of the task's scale."""

    constant = "it gives every text the same value"

    def target(self, example: Example, data: TaskData) -> float:
        return float(example.label) / unit_of(data)

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Classifier(config, 1)

    def activate(self, logits: Tensor) -> Tensor:
        return logits

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> np.ndarray:
        """Values (N, 1) float32 in the task's unit. A model that has broken down says 0."""
        outputs = np.stack(rows)
        return np.where(np.isfinite(outputs), outputs, np.float32(0.0)) * unit_of(data)

    def label_counts(self, data: TaskData) -> None:
        return None

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        return len(outputs) >= FEWEST and float(np.ptp(outputs)) < 1e-3 * unit_of(data)


class TextLabels(TextClasses):
    """Any number of several labels for a text or a pair."""

    constant = "it gives every text the same probabilities"

    def target(self, example: Example, data: TaskData) -> tuple[float, ...]:
        """1.0 for each label that it has, else 0.0. It has none where they are not known."""
        found = example.label if isinstance(example.label, tuple) else ()
        return tuple(float(i in found) for i in range(len(data.labels)))

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Classifier(config, len(data.labels), class_weights, multi_label=True)

    def activate(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> np.ndarray:
        """(N, C, 2) float32: probabilities, and thresholds of 0.5."""
        probabilities = np.stack(rows)
        probabilities = np.where(np.isfinite(probabilities), probabilities, np.float32(0.5))
        return np.stack([probabilities, np.full_like(probabilities, 0.5)], -1)

    def choose_thresholds(self, data: TaskData, outputs: Outputs) -> tuple[float, ...]:
        """For each label the one with the best F1 on dev."""
        assert isinstance(outputs, np.ndarray)
        return best_thresholds(data, outputs[..., 0])

    def with_thresholds(self, outputs: Outputs, thresholds: tuple[float, ...]) -> np.ndarray:
        assert isinstance(outputs, np.ndarray)
        judged = outputs.copy()
        judged[..., 1] = thresholds
        return judged

    def label_counts(self, data: TaskData) -> np.ndarray:
        """Training examples that have each label; they need not add up to all examples."""
        labels = [label for example in data.train for label in example.label]
        return np.bincount(np.array(labels, np.int64), minlength=len(data.labels))

    def unread_loss(self, data: TaskData, class_weights: Tensor | None = None) -> float:
        """Each label is a yes or no of its own; the weights are of the yes."""
        shares = self.label_counts(data) / len(data.train)
        yes = shares if class_weights is None else shares * class_weights.numpy()
        weights = yes + 1 - shares  # of an example, on average
        losses = [
            weight * entropy_of((share, 1 - share))
            for weight, share in zip(weights, yes / weights, strict=True)
        ]
        return float(np.mean(losses))

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        return len(outputs) >= FEWEST and bool(np.ptp(np.asarray(outputs)[..., 0], 0).max() < 1e-3)
