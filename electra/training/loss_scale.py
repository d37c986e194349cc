"""The factor on the loss that keeps small gradients of fp16 from vanishing."""

from __future__ import annotations

import torch
from torch import Tensor

from electra.training.device import Precision

GROW_AFTER = 2_000  # finite steps


class LossScale:
    """Dynamic loss scaling for fp16, kept on the device; in other precisions it stays at 1.

    A step that is not finite halves the scale, 2,000 that are double it.
    """

    def __init__(self, precision: Precision, device: torch.device) -> None:
        self.dynamic = precision.dtype == torch.float16
        self.scale = torch.tensor(65_536.0 if self.dynamic else 1.0, device=device)
        self.good = torch.zeros((), device=device)  # finite steps since the scale changed
        self.bad_in_row = torch.zeros((), device=device)  # steps that were not finite, up to now
        self.skipped = torch.zeros((), device=device)  # all steps that were not finite

    def update(self, finite: Tensor) -> None:
        """Count a step; `finite` is 0-d bool."""
        self.bad_in_row = torch.where(finite, 0.0, self.bad_in_row + 1)
        self.skipped = self.skipped + ~finite
        if self.dynamic:
            good = torch.where(finite, self.good + 1, 0.0)
            grown = torch.where(good >= GROW_AFTER, self.scale * 2, self.scale)
            self.scale = torch.where(finite, grown, (self.scale / 2).clamp(min=1.0))
            self.good = torch.where(good >= GROW_AFTER, 0.0, good)

    def state_dict(self) -> dict[str, Tensor]:
        """The scale and its counts, 0-d tensors on the device."""
        return {name: getattr(self, name) for name in ("scale", "good", "bad_in_row", "skipped")}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state_dict`, from tensors on any device."""
        for name, value in state.items():
            setattr(self, name, value.to(self.scale.device))
