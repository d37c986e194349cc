"""Models made from a configuration: initialised, without memory, or with given weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from electra.config import ModelConfig
from electra.model.bert import BertMLM
from electra.model.electra import RTD_WEIGHT, TEMPERATURE, Electra

MAX_LISTED_NAMES = 8  # of tensors, in a message

Model = TypeVar("Model", bound=nn.Module)


def build(
    config: ModelConfig,
    mask_prob: float,
    rtd_weight: float = RTD_WEIGHT,
    temperature: float = TEMPERATURE,
) -> Electra | BertMLM:
    """The pre-training model of a configuration, initialised. BERT reads the first two alone."""
    if config.objective == "electra":
        return Electra(config, mask_prob, rtd_weight, temperature)
    return BertMLM(config, mask_prob)


class _SkipInitialisation(TorchFunctionMode):
    """Skips weight initialisation inside this context.

    On the device "meta" it would have no effect, and torch imports its compiler, which takes a
    second, before it draws numbers there.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


def build_on_meta(make: Callable[[ModelConfig], Model], config: ModelConfig) -> Model:
    """`make(config)` on the device "meta": a model with shapes, but without values or memory."""
    with torch.device("meta"), _SkipInitialisation():
        return make(config)


def check_weights(
    make: Callable[[ModelConfig], Model],
    config: ModelConfig,
    weights: dict[str, Tensor],
    source: str | Path,
) -> Model:
    """Check that `make(config)` can take these weights; returns that model on the device "meta".

    The sizes come from a file, which may be a stranger's. So they are compared before anything is
    allocated.

    Raises ValueError naming `source` and the tensors that are missing, unknown or of another shape
    or kind of number.
    """
    model = build_on_meta(make, config)
    wanted = model.state_dict()
    names = sorted(wanted.keys() | weights.keys())
    wrong = [name for name in names if not _fits(wanted.get(name), weights.get(name))]

    if wrong:
        listed = ", ".join(wrong[:MAX_LISTED_NAMES])
        more = len(wrong) - MAX_LISTED_NAMES
        raise ValueError(
            f"{source}: the weights are not those of its settings: {listed}"
            + (f" and {more} more" if more > 0 else "")
        )
    return model


def _fits(wanted: Tensor | None, given: Tensor | None) -> bool:
    """Whether both are there, with the same shape, and both or neither with floating point."""
    if wanted is None or given is None:
        return False
    return wanted.shape == given.shape and wanted.is_floating_point() == given.is_floating_point()


def with_weights(
    make: Callable[[ModelConfig], Model],
    config: ModelConfig,
    weights: dict[str, Tensor],
    source: str | Path,
) -> Model:
    """`make(config)` on the CPU with a copy of these weights, which skips the initialisation.

    Raises ValueError as `check_weights` does.
    """
    model = check_weights(make, config, weights, source)
    copies = {
        name: torch.empty(wanted.shape, dtype=wanted.dtype).copy_(weights[name])
        for name, wanted in model.state_dict().items()
    }
    model.load_state_dict(copies, assign=True)
    return model
