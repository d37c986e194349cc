"""An encoder with a classification head, for fine-tuning and prediction (paper, section 3.1).

Letters: B rows, T tokens, E embedding size, C hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import ClassificationHead
from electra.model.initialisation import initialise
from electra.model.outputs import ModelOutput
from electra.model.trainable import TrainableModel


class Classifier(TrainableModel):
    """An encoder with a classification head and the cross-entropy.

    With one output it is a regression with the squared error. `class_weights` (num_labels,)
    float32 weigh the examples of each class in the loss, which is then divided by the sum of the
    examples' weights.
    """

    kind = "classifier"
    loss_weights = (1.0,)
    class_weights: Tensor | None

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
        initialise(self, [self.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the examples, or the sum of their weights."""
        if self.class_weights is not None:
            return self.class_weights[batch.labels].sum()[None]
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, num_labels) float32; of a regression the value itself, (B, 1)."""
        embedded = self.embeddings(batch.input_ids, batch.token_type_ids)  # (B, T, E)
        hidden = self.encoder(embedded, batch.attention_mask)  # (B, T, C)
        return self.head(hidden, batch.attention_mask).float()

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The loss of these rows, (1,). The batch must have labels; nothing is drawn."""
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch)

        if self.regression:
            loss = (logits.squeeze(-1) - batch.labels).square().sum()
        else:
            loss = F.cross_entropy(logits, batch.labels, self.class_weights, reduction="sum")

        sums = {"loss": loss.detach(), "weight": self.counts(batch)[0]}
        return ModelOutput(loss[None], sums)

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The embeddings and the encoder."""
        return self.embeddings, self.encoder
