"""BERT's masked language model, the control, and the masked LM that is also ELECTRA's generator.

Letters: B rows, T tokens, K masked positions a row, N = B * K, E embedding size, C hidden size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model import masking
from electra.model.compile import compile_method
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import MaskedLMHead
from electra.model.initialisation import initialise
from electra.model.masked_lm_loss import masked_lm_loss
from electra.model.outputs import ModelOutput
from electra.model.trainable import TrainableModel


class MaskedLMOutput(NamedTuple):
    """Sums over the masked positions, and a token for each of them."""

    loss: Tensor  # 0-d float32: the cross-entropies; carries the gradient
    correct: Tensor  # 0-d float32: how often the likeliest token is the target
    sampled: Tensor | None  # (B, K) int64, where they were asked for; no gradient


class MaskedLM(nn.Module):
    """An encoder with a masked-LM head: BERT, and ELECTRA's generator.

    The embeddings are passed in: they belong to the whole model.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = MaskedLMHead(config)

    def forward(
        self,
        embeddings: Embeddings,
        batch: Batch,
        masked: masking.Masked,
        uniform: Tensor | None = None,
        temperature: float = 1.0,
    ) -> MaskedLMOutput:
        """Predict the masked tokens, and sample one for each where `uniform` is given.

        uniform: (B, K) float32 in [0, 1), the random numbers of the samples.
        temperature: what the logits are divided by before a token is sampled.
        """
        embedded = embeddings(masked.input_ids, batch.token_type_ids)  # (B, T, E)
        hidden = self.encoder(embedded, batch.attention_mask)  # (B, T, C)

        # The vocabulary head runs on the masked positions alone.
        index = masked.positions[:, :, None].expand(-1, -1, hidden.shape[-1])  # (B, K, C)
        hidden = self.head.transform(hidden.gather(1, index).flatten(0, 1))  # (N, E)
        loss, correct, sampled = masked_lm_loss(
            hidden,
            embeddings.word.weight,
            self.head.bias,
            masked.targets.flatten(),
            masked.weights.flatten(),
            None if uniform is None else uniform.reshape(-1, 1),
            temperature,
        )
        if sampled is not None:
            sampled = sampled.view_as(masked.positions)
        return MaskedLMOutput(loss, correct, sampled)


class BertMLM(TrainableModel):
    """BERT's masked language model, without next-sentence prediction: the control."""

    kind = "mlm"
    loss_weights = (1.0,)

    def __init__(self, config: ModelConfig, mask_prob: float = 0.15) -> None:
        super().__init__()
        self.config = config
        self.mask_prob = mask_prob
        self.embeddings = Embeddings(config)
        self.mlm = MaskedLM(config)
        initialise(self, [self.mlm.encoder])

    def counts(self, batch: Batch) -> Tensor:
        """(1,) float32: the masked positions."""
        return masking.count_masked(batch.input_ids, self.mask_prob, self.config.special)[None]

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The masked-LM loss of these rows, (1,)."""
        masked = masking.mask(
            batch.input_ids,
            self.mask_prob,
            "mlm",
            self.config.vocab_size,
            generator,
            self.config.special,
        )

        # Ranks draw the same for the whole batch. From here on it is about these rows alone.
        batch, masked = batch.take(rows), masked.take(rows)
        loss, correct, _ = self.mlm(self.embeddings, batch, masked)

        sums = {
            "mlm_loss": loss.detach(),
            "mlm_correct": correct,
            "masked": masked.weights.sum(),
            "tokens": masking.real_tokens(batch.input_ids, batch.attention_mask).sum(),
        }
        return ModelOutput(loss[None], sums)

    def compile_networks(self) -> None:
        """Compile the network. Masks are drawn outside: no graph can hold a `torch.Generator`."""
        compile_method(self.mlm, "forward")

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The embeddings and the encoder."""
        return self.embeddings, self.mlm.encoder
