"""What fine-tuning does differently for each kind of task: ids, model, outputs, collapse.

To add a kind: a `TaskKind` in a file of its own and a row in `KINDS`; a `Scoring` in
`electra/evaluation/`; an answer in `electra/inference/`.

N: examples, W: words of a sentence, C: classes or tags.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from electra.config import FinetuneConfig, ModelConfig
from electra.data.examples import Encoded, encode_examples
from electra.data.tagged_words import encode_words
from electra.data.token_cache import CachedTokenizer
from electra.evaluation.scoring import Outputs
from electra.model.classifier import Classifier
from electra.model.fine_tuned import FineTunedModel
from electra.model.tagger import Tagger
from electra.tasks.task import Example, Sentence, TaskData

FEWEST = 20  # held-out examples, or words, from which on equal answers are a collapse


class TaskKind(ABC):
    """One kind of task. It has no state."""

    @abstractmethod
    def texts(self, example: Any) -> Iterator[str]:
        """The texts of an example, to train a tokenizer on."""

    @abstractmethod
    def encode(
        self,
        tokenizer: CachedTokenizer,
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

    def label_counts(self, data: TaskData) -> np.ndarray | None:
        """Training examples, or words, of each class, (C,) int64; None without classes."""
        return None

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        """Whether a model says the same of everything, of enough examples to tell."""
        return False


class TextClasses(TaskKind):
    """One of several labels for a text or a pair."""

    def texts(self, example: Example) -> Iterator[str]:
        yield from (text for text in (example.text_a, example.text_b) if text)

    def encode(
        self,
        tokenizer: CachedTokenizer,
        examples: list[Example],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        assert config.max_len is not None
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


class WordTags(TaskKind):
    """A tag for each word of a sentence."""

    def texts(self, example: Sentence) -> Iterator[str]:
        yield example.text

    def encode(
        self,
        tokenizer: CachedTokenizer,
        examples: list[Sentence],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        assert config.max_len is not None
        words = [example.words for example in examples]
        return encode_words(tokenizer, words, [e.tags for e in examples], config.max_len)

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Tagger(config, len(data.labels), class_weights)

    def activate(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, -1)

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Probabilities (W, C) float32 of each sentence, each word's from its own window."""
        found = [np.zeros((len(e.words), len(data.labels)), np.float32) for e in examples]
        for window, row in zip(encoded.windows, rows, strict=True):
            found[window.sentence][window.words] = row[window.positions]
        unknown = np.float32(1 / len(data.labels))
        return [np.where(np.isfinite(output), output, unknown) for output in found]

    def label_counts(self, data: TaskData) -> np.ndarray:
        tags = np.concatenate([example.tags for example in data.train])
        return np.bincount(tags, minlength=len(data.labels))

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        tags = np.concatenate([output.argmax(-1) for output in outputs])
        return len(tags) >= FEWEST and len(set(tags)) == 1


def unit_of(data: TaskData) -> float:
    """What the outputs of a regression are multiplied by; 1 for probabilities."""
    return data.task.scale or 1.0


# Kinds of tasks (`Task.kind`) -> how they are trained.
KINDS: dict[str, TaskKind] = {
    "classes": TextClasses(),
    "regression": TextValue(),
    "tags": WordTags(),
}
