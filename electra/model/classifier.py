"""An encoder with a classification head, for fine-tuning and prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import ClassificationHead
from electra.model.initialisation import initialise
from electra.model.outputs import Step


class Classifier(nn.Module):
    """An encoder with a classification head, for fine-tuning and prediction. With one output it is a regression: the
    squared error takes the place of the cross-entropy.

    `class_weights` (num_labels,) weigh the examples of a class in the loss; its count is then the sum of the weights.
    """

    kind = "classifier"
    terms = ("classification",)
    weights = (1.0,)

    def __init__(
        self, config: ModelConfig, num_labels: int, class_weights: Tensor | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.regression = num_labels == 1
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.head = ClassificationHead(config, num_labels)
        initialise(self, config, [(self.encoder, config)])

    def counts(self, batch: Batch) -> Tensor:
        if self.class_weights is not None:
            return self.class_weights[batch.labels].sum()[None]
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, num_labels) float32; of a regression the value itself."""
        hidden = self.encoder(
            self.embeddings(batch.input_ids, batch.token_type_ids), batch.attention_mask
        )
        return self.head(hidden, batch.attention_mask).float()

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch)
        if self.regression:
            loss = (logits.squeeze(-1) - batch.labels).square().sum()
        else:
            loss = F.cross_entropy(logits, batch.labels, self.class_weights, reduction="sum")
        return Step(loss[None], {"loss": loss.detach(), "weight": self.counts(batch)[0]})

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        return self.embeddings, self.encoder
