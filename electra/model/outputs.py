"""What the models return, and the counts that their losses are divided by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from electra.config import SpecialIds
from electra.data.batch import Batch
from electra.model import masking


class Detection(NamedTuple):
    """What the discriminator said of a corrupted batch."""

    logits: Tensor  # (B, T) float32: that the token was replaced
    replaced: Tensor  # (B, T) float32
    real: Tensor  # (B, T) bool: not padding
    corrupted: Tensor  # (B, T) int64


class Step(NamedTuple):
    """What a forward pass returns."""

    losses: Tensor  # (n,) float32, sums; carries the gradient
    sums: dict[str, Tensor]  # figures to log, sums and counts, detached
    detection: Detection | None = None


def real_tokens(batch: Batch) -> Tensor:
    return (
        torch.ones_like(batch.input_ids, dtype=torch.bool)
        if batch.attention_mask is None
        else batch.attention_mask
    )


def masked_count(batch: Batch, mask_prob: float, special: SpecialIds) -> Tensor:
    """How many positions `masking.choose_positions` will choose in all, without drawing them."""
    count = masking.candidates(batch.input_ids, special).sum(1)
    return (count * mask_prob).round().clamp(min=1).minimum(count).sum().float()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """One graph without a way back to Python, one a shape: `SpanBatches` makes few, but more than the usual limit."""
    torch._dynamo.config.recompile_limit = 64
    return torch.compile(function, fullgraph=True, dynamic=False)


def detection_sums(detection: Detection) -> dict[str, Tensor]:
    """Counts behind accuracy, precision and recall of replaced-token detection."""
    said = (detection.logits > 0) & detection.real
    replaced = detection.replaced.bool()
    return {
        "tokens": detection.real.sum(),
        "replaced": replaced.sum(),
        "said_replaced": said.sum(),
        "said_and_replaced": (said & replaced).sum(),
        "rtd_correct": ((said == replaced) & detection.real).sum(),
    }
