"""ELECTRA: a generator fills in masked tokens, a discriminator detects them (paper, section 2).

Follows `run_pretraining.py: PretrainingModel` of google-research/electra.

Letters: B rows, T tokens, K masked positions a row, E embedding size, C hidden size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.config import ModelConfig
from electra.data.batch import Batch
from electra.model import masking
from electra.model.bert import MaskedLM
from electra.model.compile import compile_method
from electra.model.encoder import Embeddings, Encoder
from electra.model.heads import ReplacedTokenHead
from electra.model.initialisation import initialise
from electra.model.outputs import Detection, ModelOutput, detection_sums
from electra.model.trainable import TrainableModel

# Paper, section 2 and appendix A: the weight of the discriminator's loss, beside 1 for the
# generator's, and the temperature at which the generator samples.
RTD_WEIGHT, TEMPERATURE = 50.0, 1.0


class Electra(TrainableModel):
    """Generator and discriminator over one embedding module."""

    kind = "electra"

    def __init__(
        self,
        config: ModelConfig,
        mask_prob: float = 0.15,
        rtd_weight: float = RTD_WEIGHT,
        temperature: float = TEMPERATURE,
    ) -> None:
        super().__init__()
        self.config = config
        self.mask_prob = mask_prob
        self.loss_weights = (1.0, rtd_weight)
        self.temperature = temperature
        self.embeddings = Embeddings(config)
        self.generator = MaskedLM(config.generator())
        self.discriminator = Encoder(config)
        self.rtd_head = ReplacedTokenHead(config)
        initialise(self, [self.generator.encoder, self.discriminator])

    def counts(self, batch: Batch) -> Tensor:
        """(2,) float32: the masked positions, and the real tokens."""
        masked = masking.count_masked(batch.input_ids, self.mask_prob, self.config.special)
        real = masking.real_tokens(batch.input_ids, batch.attention_mask)
        return torch.stack([masked, real.sum().float()])

    def detect(self, input_ids: Tensor, batch: Batch) -> Tensor:
        """Logits that each token was replaced: input_ids (B, T) int64 -> (B, T) float32.

        Token types and attention mask are those of the batch.
        """
        embedded = self.embeddings(input_ids, batch.token_type_ids)  # (B, T, E)
        hidden = self.discriminator(embedded, batch.attention_mask)  # (B, T, C)
        return self.rtd_head(hidden).float()

    def forward(
        self, batch: Batch, generator: torch.Generator, rows: slice = slice(None)
    ) -> ModelOutput:
        """The two losses of these rows, (2,): masked LM and replaced-token detection (figure 2)."""
        # Mask, and draw the random numbers of the samples.
        ids, size = batch.input_ids, self.config.vocab_size
        masked = masking.mask(ids, self.mask_prob, "electra", size, generator, self.config.special)
        uniform = torch.rand(masked.positions.shape, generator=generator, device=ids.device)

        # Ranks draw the same for the whole batch. From here on it is about these rows alone.
        batch, masked, uniform = batch.take(rows), masked.take(rows), uniform[rows]

        # The generator predicts the masked tokens, and samples a token for each from its softmax.
        # No gradient flows through the samples.
        mlm_loss, mlm_correct, sampled = self.generator(
            self.embeddings, batch, masked, uniform, self.temperature
        )

        # The samples take the places of the masked tokens in the original text.
        corrupted, replaced = masking.corrupt(batch.input_ids, masked, sampled)  # (B, T) each

        # The discriminator predicts for every real token whether it was replaced.
        real = masking.real_tokens(batch.input_ids, batch.attention_mask)  # (B, T)
        logits = self.detect(corrupted, batch)  # (B, T)
        rtd_losses = F.binary_cross_entropy_with_logits(logits, replaced, reduction="none")
        rtd_loss = (rtd_losses * real).sum()

        detection = Detection(logits.detach(), replaced, real, corrupted)
        sums = {
            "mlm_loss": mlm_loss.detach(),
            "mlm_correct": mlm_correct,
            "masked": masked.weights.sum(),
            "sampled_correct": ((sampled == masked.targets) * masked.weights).sum(),
            "rtd_loss": rtd_loss.detach(),
            **detection_sums(detection),
        }
        return ModelOutput(torch.stack([mlm_loss, rtd_loss]), sums, detection)

    def compile_networks(self) -> None:
        """Compile both networks. Masks are drawn outside: no graph can hold a `torch.Generator`."""
        compile_method(self.generator, "forward")
        compile_method(self, "detect")

    def encoder_state(self) -> tuple[Embeddings, Encoder]:
        """The embeddings and the discriminator. The generator is thrown away (paper, section 2)."""
        return self.embeddings, self.discriminator
