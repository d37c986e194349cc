"""BERT's masked language model, the control, and the masked LM that is also ELECTRA's generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model import masking, ops
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import MaskedLMHead
from electra.model.initialisation import initialise
from electra.model.outputs import Step, compiled, masked_count, real_tokens


class MaskedLM(nn.Module):
    """An encoder with a masked-LM head over embeddings that are passed in: BERT, and ELECTRA's generator."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.head = MaskedLMHead(config)

    def forward(
        self, embeddings: Embeddings, batch: Batch, masked: masking.Masked, uniform: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The sum of cross-entropies at the chosen positions, the number of right guesses there, and, where `uniform`
        (N, 1) is given, what a draw puts into each position, (N,) int64."""
        hidden = self.encoder(
            embeddings(masked.input_ids, batch.token_type_ids), batch.attention_mask
        )  # (B, T, C)
        index = masked.positions[:, :, None].expand(-1, -1, hidden.shape[-1])
        hidden = self.head.transform(hidden.gather(1, index).flatten(0, 1))  # (N, E)
        return ops.masked_lm(
            hidden,
            embeddings.word.weight,
            self.head.bias,
            masked.targets.flatten(),
            masked.weights.flatten(),
            uniform,
        )


class BertMLM(nn.Module):
    """BERT's masked language model, without next-sentence prediction: the control."""

    kind = "mlm"
    terms = ("mlm",)
    weights = (1.0,)

    def __init__(self, config: ModelConfig, mask_prob: float = 0.15) -> None:
        super().__init__()
        self.config, self.mask_prob = config, mask_prob
        self.embeddings = Embeddings(config)
        self.mlm = MaskedLM(config)
        initialise(self, config, [(self.mlm.encoder, config)])

    def counts(self, batch: Batch) -> Tensor:
        return masked_count(batch, self.mask_prob, self.config.special)[None]

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        masked = masking.mask(
            batch.input_ids,
            self.mask_prob,
            "mlm",
            self.config.vocab_size,
            generator,
            self.config.special,
        )
        batch, masked = batch.take(rows), masking.Masked(*(t[rows] for t in masked))
        loss, correct, _ = self.mlm(self.embeddings, batch, masked, None)
        sums = {
            "mlm_loss": loss.detach(),
            "mlm_correct": correct,
            "masked": masked.weights.sum(),
            "tokens": real_tokens(batch).sum(),
        }
        return Step(loss[None], sums)

    def compile_networks(self) -> None:
        """Compile what the time goes into. Drawing masks stays outside: a `torch.Generator` is nothing to compile."""
        self.mlm.forward = compiled(self.mlm.forward)

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The parts that fine-tuning goes on with."""
        return self.embeddings, self.mlm.encoder
