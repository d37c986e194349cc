"""An encoder whose output is one vector a text, and two ways to train it on pairs of texts.

Letters: B pairs, T tokens, C hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.fine_tuned import FineTunedModel
from electra.model.heads import pool
from electra.model.initialisation import initialise
from electra.model.outputs import ModelOutput

SHARPNESS = 20.0  # of the softmax over cosines, as the sentence-embedding library has it


class Embedder(FineTunedModel):
    """An encoder with the vector of [CLS] or the mean of the real tokens, and no head.

    `scored`: the loss is the squared distance of the cosine from the pair's label (Reimers &
    Gurevych 2019, section 3). Otherwise every pair belongs together: the loss is the cross-entropy
    of finding a text's partner among all second texts of the rows at hand, by cosines times
    `SHARPNESS` (Henderson et al. 2017, section 4). On several ranks these are the rank's own rows.
    """

    kind = "embedder"
    per_token = False

    def __init__(self, config: ModelConfig, scored: bool = False) -> None:
        super().__init__(config)
        self.scored = scored
        initialise(self, [self.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the pairs."""
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def vectors(self, batch: Batch) -> Tensor:
        """(B, C) float32, of any length, for a batch of single texts."""
        return pool(self.hidden(batch).float(), batch.attention_mask, self.config.pooling)

    def logits(self, batch: Batch) -> Tensor:
        """(B, 2C) float32: both vectors of each pair, each of length 1. The batch is (B, 2, T)."""
        return F.normalize(self.vectors(batch.rows()), dim=-1).view(len(batch.input_ids), -1)

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The loss of these rows, (1,). The batch has pairs; nothing is drawn."""
        batch = batch.take(rows)
        assert batch.labels is not None
        first, second = self.logits(batch).chunk(2, -1)  # (B, C) each

        if self.scored:
            loss = ((first * second).sum(-1) - batch.labels).square().sum()
        else:
            cosines = (first @ second.T).float()  # (B, B)
            cosines = cosines.masked_fill(_same_partners(batch), -torch.inf)
            partners = torch.arange(len(cosines), device=cosines.device)
            loss = F.cross_entropy(cosines * SHARPNESS, partners, reduction="sum")

        sums = {"loss": loss.detach(), "weight": self.counts(batch)[0]}
        return ModelOutput(loss[None], sums)


def _same_partners(pairs: Batch) -> Tensor:
    """(B, B) bool: where another row has the same second text, which is then no wrong answer."""
    second = pairs.input_ids[:, 1]  # (B, T)
    same = (second[:, None] == second[None]).all(-1)
    return same & ~torch.eye(len(second), dtype=torch.bool, device=second.device)
