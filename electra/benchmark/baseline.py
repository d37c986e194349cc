"""The baseline: the networks of `transformers` and the loop that most people write around them.

The package `transformers` is imported inside the functions that need it, since nothing else in this
project does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from electra.benchmark.steps import LEARNING_RATE
from electra.config import ModelConfig, SpecialIds
from electra.data.batch import Batch, Padding, collate
from electra.data.token_store import Text
from electra.model import masking
from electra.model.electra import RTD_WEIGHT
from electra.training.device import Precision
from electra.training.optimizer import CLIP

DOCUMENTS_PER_BATCH = 16  # in pre-training
ROWS_PER_BATCH = 32  # in fine-tuning and in a pipeline


def baseline_device(name: str) -> torch.device:
    """As `choose_device`, but without what that sets up in the process; others do not have it."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def baseline_documents(text: Text, special: SpecialIds, max_len: int) -> Iterator[Batch]:
    """Batches without end: documents in random order, cut to `max_len` tokens, and padded to the
    longest of the batch."""
    rng = np.random.default_rng(0)

    while True:
        order = rng.permutation(len(text.starts))
        for rows in np.split(order, range(DOCUMENTS_PER_BATCH, len(order), DOCUMENTS_PER_BATCH)):
            ends = np.minimum(text.ends[rows], text.starts[rows] + max_len - 2)
            ids = [
                [special.cls, *text.tokens[start:end].tolist(), special.sep]
                for start, end in zip(text.starts[rows], ends, strict=True)
            ]
            types = [[0] * len(one) for one in ids]
            yield collate(ids, types, None, Padding(1, max_len), special.pad)


def baseline_step(
    model: nn.Module, loss_of: Callable[[Batch], Tensor], device: torch.device, weight_decay: float
) -> Callable[[Batch], None]:
    """A step as most people write it: one loss, clipped gradients, torch's AdamW.

    Moves `model` to `device`.
    """
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=weight_decay)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        loss_of(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()

    return step


def transformers_classifier(
    model_config: ModelConfig, classes: int, attention: str
) -> tuple[nn.Module, Callable[[Batch], Tensor]]:
    """A classifier of `transformers` in our sizes, and its loss of a batch, a float32 scalar.

    `attention` is one of the library's implementations, "eager" or "sdpa".
    """
    import transformers

    config = transformers_config(model_config, attention)
    config.num_labels = classes
    model = transformers.ElectraForSequenceClassification(config)

    def loss_of(batch: Batch) -> Tensor:
        return model(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            token_type_ids=batch.token_type_ids,
            labels=batch.labels,
        ).loss

    return model, loss_of


def transformers_pretraining(
    model_config: ModelConfig, mask_prob: float, precision: Precision, attention: str
) -> tuple[nn.Module, Callable[[Batch], Tensor]]:
    """The networks of `transformers` in our sizes, and their loss of a batch, a float32 scalar.

    Generator and discriminator share one module of embeddings. Each token is masked with
    probability `mask_prob`, and labels of -100 keep the others out of the library's loss.
    """
    import transformers

    electra = model_config.objective == "electra"
    masked_lm = transformers.ElectraForMaskedLM(
        transformers_config(model_config.generator() if electra else model_config, attention)
    )
    special = model_config.special
    if not electra:
        return masked_lm, _masked_lm_loss(masked_lm, special, mask_prob, precision)

    discriminator = transformers.ElectraForPreTraining(transformers_config(model_config, attention))
    discriminator.electra.embeddings = masked_lm.electra.embeddings
    networks = nn.ModuleList([masked_lm, discriminator])
    return networks, _electra_loss(masked_lm, discriminator, special, mask_prob, precision)


def _masked_lm_loss(
    model: nn.Module, special: SpecialIds, mask_prob: float, precision: Precision
) -> Callable[[Batch], Tensor]:
    def loss_of(batch: Batch) -> Tensor:
        masked_ids, chosen = _mask(batch.input_ids, special, mask_prob)
        with precision.autocast():
            return _predict_masked(model, batch, masked_ids, chosen).loss

    return loss_of


def _electra_loss(
    generator: nn.Module,
    discriminator: nn.Module,
    special: SpecialIds,
    mask_prob: float,
    precision: Precision,
) -> Callable[[Batch], Tensor]:
    def loss_of(batch: Batch) -> Tensor:
        ids = batch.input_ids
        masked_ids, chosen = _mask(ids, special, mask_prob)

        with precision.autocast():
            predicted = _predict_masked(generator, batch, masked_ids, chosen)
            corrupted = ids.masked_scatter(chosen, _sample(predicted.logits, chosen))
            detected = discriminator(
                corrupted,
                attention_mask=batch.attention_mask,
                token_type_ids=batch.token_type_ids,
                labels=(corrupted != ids).long(),
            )
            return predicted.loss + RTD_WEIGHT * detected.loss

    return loss_of


def _mask(ids: Tensor, special: SpecialIds, mask_prob: float) -> tuple[Tensor, Tensor]:
    """(ids with [MASK] at 85% of the chosen positions, chosen), both (B, T), int64 and bool."""
    draw = torch.rand((2, *ids.shape), device=ids.device)
    chosen = masking.candidates(ids, special) & (draw[0] < mask_prob)
    return torch.where(chosen & (draw[1] < 0.85), special.mask, ids), chosen


def _predict_masked(model: nn.Module, batch: Batch, masked_ids: Tensor, chosen: Tensor) -> Any:
    """What a masked LM of `transformers` returns: its loss, and its logits at all positions."""
    return model(
        masked_ids,
        attention_mask=batch.attention_mask,
        token_type_ids=batch.token_type_ids,
        labels=torch.where(chosen, batch.input_ids, -100),
    )


@torch.no_grad()
def _sample(logits: Tensor, chosen: Tensor) -> Tensor:
    """One token for each chosen position: (B, T, V) and (B, T) bool -> (n,) int64.

    Of the common ways to sample, this one takes the least time on a CPU: Gumbel noise made of two
    logarithms (`torch.distributions.Gumbel` takes 1.7 times, `torch.multinomial` 1.5 times as
    much).
    """
    logits = logits[chosen].float()
    return (logits - torch.log(-torch.log(torch.rand_like(logits)))).argmax(-1)


def transformers_config(model_config: ModelConfig, attention: str) -> Any:
    """Our sizes as an `ElectraConfig` of `transformers`."""
    import transformers

    settings: dict[str, Any] = {
        "vocab_size": model_config.vocab_size,
        "embedding_size": model_config.embedding_size,
        "hidden_size": model_config.hidden_size,
        "num_hidden_layers": model_config.num_layers,
        "num_attention_heads": model_config.num_heads,
        "intermediate_size": model_config.intermediate_size,
        "max_position_embeddings": model_config.max_positions,
        "hidden_dropout_prob": model_config.dropout,
        "attention_probs_dropout_prob": model_config.attention_dropout,
        "pad_token_id": model_config.special.pad,
        "attn_implementation": attention,
    }
    return transformers.ElectraConfig(**settings)
