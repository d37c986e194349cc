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
from electra.training.loss_scale import LossScale
from electra.training.metric_sums import add_up
from electra.training.optimizer import Adam
from electra.training.passes import CudaGraphs, forward_backward
from electra.training.seeds import MASKS_TAG, derive_seed, dropout_tag


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
    # Gradients become their mean over the ranks; times the number of ranks, that is their sum.
    loss_factors = _loss_factors(model, batches) * ranks.world_size
    optimizer.zero_grad(keep=graphs is not None and graphs.keeps_gradients())

    device = batches[0].input_ids.device
    forward_backward_pass = graphs or forward_backward
    generator = graphs.generator if graphs else torch.Generator(device)
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        torch.manual_seed(derive_seed(seed, number, dropout_tag(ranks.rank)))
        generator.manual_seed(derive_seed(seed, number, MASKS_TAG))
        rows, owned = ranks.rows(len(batch.input_ids))
        factors = loss_factors * (scale.scale * owned)
        with _gradient_exchange(model, ranks, last=number == len(batches) - 1):
            step = forward_backward_pass(model, batch, generator, rows, factors, precision)
        if owned:
            add_up(sums, step.sums)
        else:  # a row of another rank, which counts it
            add_up(sums, {name: value * 0.0 for name, value in step.sums.items()})

    norm, finite = optimizer.step(lr, scale.scale)
    scale.update(finite)
    return StepResult(sums, step.detection, norm)


def _loss_factors(model: nn.Module, batches: list[Batch]) -> Tensor:
    """What each term of the loss is multiplied by, (n,) float32: its weight over its count."""
    bare: Any = getattr(model, "module", model)
    counts = torch.stack([bare.counts(batch) for batch in batches]).sum(0).clamp(min=1)  # (n,)
    return torch.stack(
        [weight / count for weight, count in zip(bare.loss_weights, counts, strict=True)]
    )


def _gradient_exchange(
    model: Any, ranks: Ranks, last: bool
) -> contextlib.AbstractContextManager[None]:
    """Inside, several ranks exchange gradients after the last micro-batch alone."""
    return contextlib.nullcontext() if last or ranks.world_size == 1 else model.no_sync()
