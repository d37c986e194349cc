"""ELECTRA: generator and discriminator over one embedding module (paper, section 2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model import masking
from electra.model.bert import MaskedLM
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import ReplacedTokenHead
from electra.model.initialisation import initialise
from electra.model.outputs import (
    Detection,
    Step,
    compiled,
    detection_sums,
    masked_count,
    real_tokens,
)

RTD_WEIGHT = 50.0  # paper, section 2 and appendix A


class Electra(nn.Module):
    """Generator and discriminator over one embedding module (paper, section 2)."""

    kind = "electra"
    terms = ("mlm", "rtd")
    weights = (1.0, RTD_WEIGHT)

    def __init__(self, config: ModelConfig, mask_prob: float = 0.15) -> None:
        super().__init__()
        self.config, self.mask_prob = config, mask_prob
        self.embeddings = Embeddings(config)
        self.generator = MaskedLM(config.generator())
        self.discriminator = Encoder(config)
        self.rtd_head = ReplacedTokenHead(config)
        initialise(
            self,
            config,
            [(self.generator.encoder, config.generator()), (self.discriminator, config)],
        )

    def counts(self, batch: Batch) -> Tensor:
        return torch.stack(
            [
                masked_count(batch, self.mask_prob, self.config.special),
                real_tokens(batch).sum().float(),
            ]
        )

    def detect(self, input_ids: Tensor, batch: Batch) -> Tensor:
        """Logits that each token was replaced: input_ids (B, T) -> (B, T) float32."""
        hidden = self.discriminator(
            self.embeddings(input_ids, batch.token_type_ids), batch.attention_mask
        )
        return self.rtd_head(hidden).float()

    def forward(self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)) -> Step:
        masked = masking.mask(
            batch.input_ids,
            self.mask_prob,
            "electra",
            self.config.vocab_size,
            generator,
            self.config.special,
        )
        uniform = torch.rand(
            masked.positions.shape, generator=generator, device=masked.positions.device
        )
        batch, masked, uniform = (
            batch.take(rows),
            masking.Masked(*(t[rows] for t in masked)),
            uniform[rows],
        )
        mlm_loss, mlm_correct, sampled = self.generator(
            self.embeddings, batch, masked, uniform.reshape(-1, 1)
        )
        sampled = sampled.view_as(masked.positions)  # (B, K)
        corrupted, replaced = masking.corrupt(batch.input_ids, masked, sampled)
        real = real_tokens(batch)
        detected = self.detect(corrupted, batch)  # (B, T)
        rtd = F.binary_cross_entropy_with_logits(detected, replaced, reduction="none")
        rtd_loss = (rtd * real).sum()

        detection = Detection(detected.detach(), replaced, real, corrupted)
        sums = {
            "mlm_loss": mlm_loss.detach(),
            "mlm_correct": mlm_correct,
            "masked": masked.weights.sum(),
            "sampled_correct": ((sampled == masked.targets) * masked.weights).sum(),
            "rtd_loss": rtd_loss.detach(),
            **detection_sums(detection),
        }
        return Step(torch.stack([mlm_loss, rtd_loss]), sums, detection)

    def compile_networks(self) -> None:
        """As in `BertMLM`."""
        self.generator.forward, self.detect = (
            compiled(self.generator.forward),
            compiled(self.detect),
        )

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The parts that fine-tuning goes on with: the discriminator; the generator is thrown away."""
        return self.embeddings, self.discriminator
