"""An encoder with a classification head, for fine-tuning and prediction (paper, section 3.1).

Letters: B examples, P rows of one example, T tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model.fine_tuned import FineTunedModel
from electra.model.heads import ClassificationHead
from electra.model.initialisation import initialise
from electra.model.outputs import ModelOutput


class Classifier(FineTunedModel):
    """An encoder with a classification head and the cross-entropy.

    With one output it is a regression with the squared error. `class_weights` (num_labels,)
    float32 weigh the examples of each class in the loss, which is then divided by the sum of the
    examples' weights. With `multi_label` each label is a yes or no of its own: the loss is the mean
    of the binary cross-entropies, and `class_weights` weigh the yes of each label.
    """

    kind = "classifier"
    per_token = False
    class_weights: Tensor | None

    def __init__(
        self,
        config: ModelConfig,
        num_labels: int,
        class_weights: Tensor | None = None,
        multi_label: bool = False,
    ) -> None:
        super().__init__(config)
        self.multi_label = multi_label
        self.regression = num_labels == 1 and not multi_label
        self.register_buffer("class_weights", class_weights, persistent=False)
        self.head = ClassificationHead(config, num_labels)
        initialise(self, [self.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the examples, or the sum of their weights."""
        if self.class_weights is not None and not self.multi_label:
            return self.class_weights[batch.labels].sum()[None]
        return torch.full((1,), float(len(batch.input_ids)), device=batch.input_ids.device)

    def logits(self, batch: Batch) -> Tensor:
        """(B, num_labels) float32; of a regression the value itself, (B, 1).

        Of a batch (B, P, T) the mean over the P windows of each text.
        """
        rows = batch.rows()
        logits = self.head(self.hidden(rows), rows.attention_mask).float()  # (B * P, num_labels)
        if batch.input_ids.ndim == 2:
            return logits
        return logits.unflatten(0, batch.input_ids.shape[:2]).mean(1)

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The loss of these rows, (1,). The batch must have labels; nothing is drawn."""
        batch = batch.take(rows)
        assert batch.labels is not None
        logits = self.logits(batch)

        if self.regression:
            loss = (logits.squeeze(-1) - batch.labels).square().sum()
        elif self.multi_label:
            loss = F.binary_cross_entropy_with_logits(
                logits, batch.labels, pos_weight=self.class_weights, reduction="sum"
            )
            loss = loss / logits.shape[1]
        else:
            loss = F.cross_entropy(logits, batch.labels, self.class_weights, reduction="sum")

        sums = {"loss": loss.detach(), "weight": self.counts(batch)[0]}
        return ModelOutput(loss[None], sums)
