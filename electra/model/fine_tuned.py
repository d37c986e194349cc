"""What the models of fine-tuning share: the embeddings and the encoder under a new head.

Letters: B rows, T tokens, E embedding size, C hidden size.
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.encoder import Embeddings, Encoder
from electra.model.trainable import TrainableModel


class FineTunedModel(TrainableModel):
    """An encoder, to which a subclass adds its `head` and its loss."""

    loss_weights: tuple[float, ...] = (1.0,)
    per_token: bool  # whether its logits are those of tokens, (B, T, L), or of texts, (B, L)

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    def hidden(self, batch: Batch) -> Tensor:
        """The last layer of the encoder: (B, T, C), or (B, 1, C) where [CLS] alone is read."""
        embedded = self.embeddings(batch.input_ids, batch.token_type_ids)  # (B, T, E)
        first_alone = not self.per_token and self.config.pooling == "cls"
        return self.encoder(embedded, batch.attention_mask, first_alone)

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """What the head says, float32: (B, T, L) where `per_token`, else (B, L)."""

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The embeddings and the encoder."""
        return self.embeddings, self.encoder
