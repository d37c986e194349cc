"""A training step of this project, and batches to take it with."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from electra.benchmark.contender import Workload
from electra.config import CLS, SEP, SPECIAL_TOKENS
from electra.data.batch import Batch
from electra.training.device import Precision
from electra.training.loss_scale import LossScale
from electra.training.metric_sums import add_up
from electra.training.optimizer import Adam
from electra.training.passes import CudaGraphs
from electra.training.seeds import derive_seed
from electra.training.step import Learner, train_step

LEARNING_RATE = 1e-4  # how well anything learns is not measured


def our_step(
    model: nn.Module,
    optimizer: Adam,
    precision: Precision,
    device: torch.device,
    graphs: CudaGraphs | None = None,
) -> Callable[[Batch], None]:
    """A step as in the loops of train.py and finetune.py. `model` must be on `device`."""
    learner = Learner(model, optimizer, LossScale(precision, device), precision, graphs=graphs)
    numbers = itertools.count()
    sums: dict[str, Tensor] = {}

    def step(batch: Batch) -> None:
        seed = derive_seed(0, next(numbers))
        result = train_step(learner, [batch], LEARNING_RATE, seed)
        add_up(sums, result.sums)

    return step


def dense_batches(count: int, rows: int, width: int, vocab_size: int) -> list[Batch]:
    """`count` batches (rows, width) of random words between [CLS] and [SEP], without padding."""
    ids = torch.randint(
        len(SPECIAL_TOKENS),
        vocab_size,
        (count, rows, width),
        generator=torch.Generator().manual_seed(0),
    )
    ids[:, :, 0], ids[:, :, -1] = CLS, SEP
    return [Batch(one, torch.zeros_like(one), None) for one in ids]


def go_through(
    batches: Iterable[Batch],
    step: Callable[[Batch], None],
    device: torch.device,
    flops: Callable[[np.ndarray], float],
) -> Workload:
    """Make each batch and take a step with it; that is one turn.

    `flops` says how many operations examples of the lengths (n,) int64 need.
    """
    lengths: list[int] = []
    padded_tokens = 0

    for batch in batches:
        rows, width = batch.input_ids.shape
        if batch.attention_mask is None:
            lengths += [width] * rows
        else:
            lengths += batch.attention_mask.sum(1).tolist()
        padded_tokens += rows * width
        step(batch.to(device))

    return Workload(len(lengths), sum(lengths), padded_tokens, flops=flops(np.array(lengths)))


def dtype_name(precision: Precision) -> str:
    """Name of the type that matrix products are computed in, such as "bfloat16"."""
    return str(precision.dtype or torch.float32).removeprefix("torch.")
