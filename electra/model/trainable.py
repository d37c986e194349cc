"""What `train_step` knows of a model: the same for ELECTRA, BERT and a classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.encoder import Embeddings, Encoder
from electra.model.outputs import ModelOutput


class TrainableModel(nn.Module, ABC):
    """A model with its objective. The loss is the sum over its L terms of weight * sum / count."""

    kind: str  # of its checkpoints
    loss_weights: tuple[float, ...]  # (L,), of the terms of the loss
    config: ModelConfig
    embeddings: Embeddings

    @abstractmethod
    def counts(self, batch: Batch) -> Tensor:
        """What each term of the loss is divided by, (L,) float32, known before the forward pass."""

    @abstractmethod
    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """Losses of these rows of the batch. `generator` draws masks and samples, but no dropout.

        The draws are those of the whole batch: ranks that share a batch agree on them.
        """

    @abstractmethod
    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The parts that fine-tuning continues with."""
