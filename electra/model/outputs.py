"""What a forward pass returns.

Letters: B rows, T tokens, L terms of the loss.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Detection(NamedTuple):
    """What the discriminator thinks of a corrupted batch."""

    logits: Tensor  # (B, T) float32: that the token was replaced
    replaced: Tensor  # (B, T) float32: 1 where it was
    real: Tensor  # (B, T) bool: not padding
    corrupted: Tensor  # (B, T) int64: the ids that it read


class ModelOutput(NamedTuple):
    """Of one forward pass. Losses are sums, which micro-batches and ranks can add up."""

    losses: Tensor  # (L,) float32; carries the gradient
    sums: dict[str, Tensor]  # 0-d sums and counts for the log, without gradient
    detection: Detection | None = None  # of ELECTRA


def detection_sums(detection: Detection) -> dict[str, Tensor]:
    """The counts behind accuracy, precision and recall of replaced-token detection."""
    said_replaced = (detection.logits > 0) & detection.real
    replaced = detection.replaced.bool()
    return {
        "tokens": detection.real.sum(),
        "replaced": replaced.sum(),
        "said_replaced": said_replaced.sum(),
        "said_and_replaced": (said_replaced & replaced).sum(),
        "rtd_correct": ((said_replaced == replaced) & detection.real).sum(),
    }
