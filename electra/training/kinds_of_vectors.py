"""The kind of task that learns a vector for each text.

N: pairs, C: hidden size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from electra.config import FinetuneConfig, ModelConfig
from electra.data.examples import Encoded, encode_examples
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer
from electra.evaluation.scoring import Outputs
from electra.evaluation.vector_scoring import cosines_of_pairs, partner_ranks
from electra.model.embedder import Embedder
from electra.model.fine_tuned import FineTunedModel
from electra.tasks.task import Example, TaskData
from electra.training.task_kind import FEWEST, TaskKind, unit_of


class TextVectors(TaskKind):
    """A vector for each text, from pairs with scores, or from pairs that belong together."""

    constant = "it gives every pair of texts the same cosine"

    def texts(self, example: Example) -> Iterator[str]:
        yield from example.texts

    def encode(
        self,
        tokenizer: Tokenizer | CachedTokenizer,
        examples: list[Example],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        """Each text of a pair on its own, one after the other."""
        assert config.max_len is not None and config.truncate is not None
        texts = [text or "" for example in examples for text in (example.text_a, example.text_b)]
        scores = [float(example.label) / unit_of(data) for example in examples]
        alone: list[str | None] = [None] * len(texts)
        encoded = encode_examples(tokenizer, texts, alone, scores, config.max_len, config.truncate)
        return encoded._replace(parts=np.full(len(examples), 2))

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Embedder(config, data.task.scored)

    def activate(self, logits: Tensor) -> Tensor:
        return logits

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> np.ndarray:
        """(N, 2) float64: the cosine in the unit of the scores or, without scores, the rank of the
        second text among all; and the cosine."""
        first, second = np.split(np.stack(rows), 2, -1)  # (N, C) each
        cosines = cosines_of_pairs(first, second)
        if data.task.scored:
            return np.stack([cosines * unit_of(data), cosines], -1)
        ranks = partner_ranks(first, second, [example.text_b for example in examples])
        return np.stack([ranks, cosines], -1)

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        return len(outputs) >= FEWEST and float(np.ptp(np.asarray(outputs)[:, 1])) < 1e-4
