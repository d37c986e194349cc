"""The optimizer step that ELECTRA, BERT and fine-tuning share."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from electra.data.batch import Batch
from electra.model.outputs import Detection
from electra.training.device import Precision
from electra.training.distributed import ALONE, Ranks
from electra.training.evaluate import add_up
from electra.training.optimizer import Adam
from electra.training.passes import CudaGraphs, forward_backward
from electra.training.seeds import derive_seed

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


class StepResult(NamedTuple):
    """What one optimizer step tells. Tensors stay on the device until the log is written."""

    sums: dict[str, Tensor]  # over the micro-batches, 0-d
    detection: Detection | None  # of the last micro-batch; ELECTRA alone has one
    grad_norm: Tensor  # before clipping, 0-d


class Learner(NamedTuple):
    """A model and what trains it: all that stays the same from one `train_step` to the next."""

    model: nn.Module  # a `TrainableModel`, as `distributed.wrap` made it
    optimizer: Adam
    scale: LossScale
    precision: Precision
    ranks: Ranks = ALONE
    graphs: CudaGraphs | None = None


def train_step(learner: Learner, batches: list[Batch], lr: float, seed: int) -> StepResult:
    """One optimizer step over micro-batches, which are the same on every rank.

    Each term of the loss is a sum over all micro-batches and ranks, divided once by its count over
    all of them: a mean of means would weigh tokens by how full their micro-batch happens to be. All
    randomness comes from `seed`: masks are those of the whole batch, dropout is the rank's own. The
    result is of this rank's rows.
    """
    model, optimizer, scale, precision, ranks, graphs = learner
    model.train()
    factors = _factors(model, batches) * ranks.world_size  # gradients become the mean over ranks
    optimizer.zero_grad(keep=graphs is not None)

    device = batches[0].input_ids.device
    run = graphs or forward_backward
    generator = graphs.generator if graphs else torch.Generator(device)
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        torch.manual_seed(derive_seed(seed, number, 2 * ranks.rank))  # dropout
        generator.manual_seed(derive_seed(seed, number, 1))  # masks and samples
        rows, weight = ranks.rows(len(batch.input_ids))
        with _gradient_exchange(model, ranks, last=number == len(batches) - 1):
            step = run(model, batch, generator, rows, factors * (scale.scale * weight), precision)
        if weight == 1:
            add_up(sums, step.sums)
        else:  # a row of another rank, which counts it
            add_up(sums, {name: value * weight for name, value in step.sums.items()})

    norm, finite = optimizer.step(lr, scale.scale)
    scale.update(finite)
    return StepResult(sums, step.detection, norm)


def _factors(model: nn.Module, batches: list[Batch]) -> Tensor:
    """What each term of the loss is multiplied by, (n,) float32: its weight over its count."""
    bare: Any = getattr(model, "module", model)
    counts = torch.stack([bare.counts(batch) for batch in batches]).sum(0).clamp(min=1)  # (n,)
    return torch.stack([w / count for w, count in zip(bare.weights, counts, strict=True)])


def _gradient_exchange(
    model: Any, ranks: Ranks, last: bool
) -> contextlib.AbstractContextManager[None]:
    """Inside, several ranks exchange gradients after the last micro-batch alone."""
    return contextlib.nullcontext() if last or ranks.world_size == 1 else model.no_sync()
