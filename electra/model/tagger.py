"""An encoder with a label for each token: entities, chunks, parts of speech.

Letters: B rows, T tokens, L labels, C hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import IGNORE, Batch
from electra.model.fine_tuned import FineTunedModel
from electra.model.heads import TokenHead
from electra.model.initialisation import initialise
from electra.model.outputs import ModelOutput


class Tagger(FineTunedModel):
    """An encoder with a linear layer on each token and the cross-entropy.

    It follows `BertForTokenClassification`'s convention: the first piece of a word carries the
    word's label, and all other tokens are `IGNORE`d. `class_weights` (L,) float32 weigh the words
    of each label; the loss is then divided by the sum of the words' weights.
    """

    kind = "tagger"
    per_token = True
    class_weights: Tensor | None

    def __init__(
        self, config: ModelConfig, num_labels: int, class_weights: Tensor | None = None
    ) -> None:
        super().__init__(config)
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.head = TokenHead(config, num_labels)
        initialise(self, [self.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the words that have a label, or the sum of their weights."""
        assert batch.labels is not None
        labelled = batch.labels[batch.labels != IGNORE]
        if self.class_weights is not None:
            return self.class_weights[labelled].sum()[None]
        return torch.full((1,), float(len(labelled)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, L) float32."""
        return self.head(self.hidden(batch)).float()

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The loss of these rows, (1,). The batch has labels (B, T); nothing is drawn."""
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch).flatten(0, 1)  # (B * T, L)
        loss = F.cross_entropy(
            logits,
            batch.labels.flatten(),
            self.class_weights,
            ignore_index=IGNORE,
            reduction="sum",
        )
        sums = {"loss": loss.detach(), "weight": self.counts(batch)[0]}
        return ModelOutput(loss[None], sums)
