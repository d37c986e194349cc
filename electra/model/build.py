"""`Electra`, `BertMLM` and `Classifier`, made of the same blocks and driven by the same `train_step`.

Each has two methods that the engine knows:

    counts(batch)                    (n,) float32: what each loss term is divided by, known before the forward pass
    forward(batch, generator, rows)  `Step` of these rows of the batch, masked as the whole batch is: the loss terms as
                                     *sums*, so that micro-batches and ranks can be added up and divided once; and sums
                                     to log

Letters: B rows, T tokens, K masked positions a row, N = B * K, C hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from electra.config import ModelConfig
from electra.model.bert import BertMLM
from electra.model.electra import Electra

Model = TypeVar("Model", bound=nn.Module)


def build(config: ModelConfig, mask_prob: float) -> Electra | BertMLM:
    """The pre-training model of a configuration."""
    return (
        Electra(config, mask_prob) if config.objective == "electra" else BertMLM(config, mask_prob)
    )


class _NoFirstValues(TorchFunctionMode):
    """Modules made meanwhile get no first values. On the device "meta" they mean nothing, and torch imports its compiler,
    a second's work, before it draws them there."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def skeleton(make: Callable[[ModelConfig], Model], config: ModelConfig) -> Model:
    """`make(config)` on the device "meta": a model that has sizes, but no numbers, and takes no memory."""
    with torch.device("meta"), _NoFirstValues():
        return make(config)


def check_weights(
    make: Callable[[ModelConfig], Model],
    config: ModelConfig,
    weights: dict[str, Tensor],
    source: str | Path,
) -> Model:
    """Whether `make(config)` takes these weights, found out before anything is allocated: sizes come from a file, perhaps
    a stranger's. Returns the `skeleton`.

    Raises ValueError naming `source` and the tensors that are missing, have no place or do not fit.
    """
    model = skeleton(make, config)
    wanted = model.state_dict()
    fits = lambda one, other: (
        one.shape == other.shape and one.is_floating_point() == other.is_floating_point()
    )
    wrong = [
        name
        for name in sorted(wanted.keys() | weights.keys())
        if name not in wanted or name not in weights or not fits(wanted[name], weights[name])
    ]
    if wrong:
        raise ValueError(
            f"{source}: the weights are not those of its settings: {', '.join(wrong[:8])}"
            + (f" and {len(wrong) - 8} more" if len(wrong) > 8 else "")
        )
    return model


def with_weights(
    make: Callable[[ModelConfig], Model],
    config: ModelConfig,
    weights: dict[str, Tensor],
    source: str | Path,
) -> Model:
    """`make(config)` on the host with a copy of these weights, without the first values that they would replace. Raises
    ValueError as `check_weights` does."""
    model = check_weights(make, config, weights, source)
    own = {
        name: torch.empty(wanted.shape, dtype=wanted.dtype).copy_(weights[name])
        for name, wanted in model.state_dict().items()
    }
    model.load_state_dict(own, assign=True)
    return model
