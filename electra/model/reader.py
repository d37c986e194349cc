"""An encoder that marks the answer to a question in a text (Devlin et al. 2019, section 4.2).

Letters: B rows, T tokens, C hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.fine_tuned import FineTunedModel
from electra.model.heads import TokenHead
from electra.model.initialisation import initialise
from electra.model.outputs import ModelOutput


class Reader(FineTunedModel):
    """An encoder with two logits for each token: that the answer starts, or ends, there.

    A window without the answer has its start and end at [CLS] (Devlin et al. 2019, section 4.3).
    The loss is the mean of the two cross-entropies over the real tokens.
    """

    kind = "reader"
    per_token = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.head = TokenHead(config, 2)
        initialise(self, [self.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the windows."""
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, T, 2) float32: start and end; -inf on padding."""
        logits = self.head(self.hidden(batch)).float()
        if batch.attention_mask is None:
            return logits
        return logits.masked_fill(~batch.attention_mask[:, :, None], -torch.inf)

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The loss of these rows, (1,). The batch has labels (B, 2); nothing is drawn."""
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch)
        loss = torch.stack(
            [
                F.cross_entropy(logits[:, :, end], batch.labels[:, end], reduction="sum")
                for end in (0, 1)
            ]
        ).mean()
        sums = {"loss": loss.detach(), "weight": self.counts(batch)[0]}
        return ModelOutput(loss[None], sums)
