"""A linear head as the head of a fine-tuned model of `transformers`, and back.

Heads on tokens are linear there too. A head on texts reads [CLS] through a layer that is not:

    ELECTRA   dense, GELU, linear. x = gelu(x) - gelu(-x), so the head W is exactly this one: the
              rows W and -W in the first layer, the columns 1 and -1 in the second.
    BERT      dense, tanh, linear. tanh(εx) / ε is x to float32's precision where ε is small, so the
              first layer is ε times the identity, and the second is W / ε.

Letters: C hidden size, L outputs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

# ε is at most this: small enough for hidden values of usual size, and a normal number in float16.
LARGEST_SLOPE = 2.0**-14
# What goes into tanh stays below this: its error is then at most a third of its square, 5e-6.
LARGEST_INPUT = 2.0**-8
TOKEN_HEADS = {"tagger": "classifier", "reader": "qa_outputs"}  # the names of the linear layers
_TEXT_HEADS = {
    "electra": ("classifier.dense", "classifier.out_proj"),
    "bert": ("bert.pooler.dense", "classifier"),
}


class LinearHead(NamedTuple):
    """logits = weight · vector + bias."""

    weight: Tensor  # (L, C) float32
    bias: Tensor  # (L,) float32


def fits_text_head(model_type: str, outputs: int, hidden_size: int) -> bool:
    """Whether a head with so many outputs can be one on texts there."""
    return model_type == "bert" or 2 * outputs <= hidden_size


def write_token_head(head: LinearHead, kind: str) -> dict[str, Tensor]:
    """The tensors of a head on tokens. `kind` is that of the checkpoint."""
    return _linear(TOKEN_HEADS[kind], head.weight, head.bias)


def read_token_head(tensors: dict[str, Tensor], kind: str) -> LinearHead | None:
    """The inverse of `write_token_head`; None where there is no such head."""
    return _read_linear(tensors, TOKEN_HEADS[kind])


def write_text_head(head: LinearHead, model_type: str, largest: float) -> dict[str, Tensor]:
    """The tensors of a head on texts.

    largest: of the values of the [CLS] vector, regardless of sign; see `largest_hidden`.
    """
    if model_type == "electra":
        return _write_gelu_head(head)
    return _write_tanh_head(head, _slope(largest))


def read_text_head(tensors: dict[str, Tensor], model_type: str) -> LinearHead | None:
    """The inverse of `write_text_head`; None for a head that computes something else."""
    first, second = (_read_linear(tensors, name) for name in _TEXT_HEADS[model_type])
    if first is None or second is None:
        return None
    outputs, hidden_size = second.weight.shape
    is_square = first.weight.shape == (hidden_size, hidden_size)
    if not is_square or not fits_text_head(model_type, outputs, hidden_size):
        return None

    if model_type == "electra":
        head = LinearHead(first.weight[:outputs].clone(), second.bias)
        written = _write_gelu_head(head)
    else:
        slope = first.weight[0, 0].item()
        if not 0 < slope <= LARGEST_SLOPE or math.frexp(slope)[0] != 0.5:
            return None
        head = LinearHead(second.weight * slope, second.bias)
        written = _write_tanh_head(head, slope)
    is_same = all(torch.equal(tensors[name].float(), tensor) for name, tensor in written.items())
    return head if is_same else None


def text_head_names(model_type: str) -> tuple[str, ...]:
    """The names of all tensors of a head on texts."""
    return tuple(f"{name}.{end}" for name in _TEXT_HEADS[model_type] for end in ("weight", "bias"))


def largest_hidden(weight: Tensor, bias: Tensor) -> float:
    """No value that a LayerNorm with this weight and bias, (C,) each, gives is larger."""
    return math.sqrt(len(weight)) * weight.abs().max().item() + bias.abs().max().item()


def _write_gelu_head(head: LinearHead) -> dict[str, Tensor]:
    outputs, hidden_size = head.weight.shape
    dense = torch.zeros(hidden_size, hidden_size)
    dense[:outputs], dense[outputs : 2 * outputs] = head.weight, -head.weight

    one = torch.eye(outputs)
    out = torch.zeros(outputs, hidden_size)
    out[:, :outputs], out[:, outputs : 2 * outputs] = one, -one
    first, second = _TEXT_HEADS["electra"]
    return _linear(first, dense, torch.zeros(hidden_size)) | _linear(second, out, head.bias)


def _write_tanh_head(head: LinearHead, slope: float) -> dict[str, Tensor]:
    """`slope` is a power of two, so that multiplying with it and dividing by it is exact."""
    hidden_size = head.weight.shape[1]
    first, second = _TEXT_HEADS["bert"]
    pooler = _linear(first, slope * torch.eye(hidden_size), torch.zeros(hidden_size))
    return pooler | _linear(second, head.weight / slope, head.bias)


def _slope(largest: float) -> float:
    """The largest power of two with which inputs up to `largest` are small enough for tanh."""
    wanted = min(LARGEST_SLOPE, LARGEST_INPUT / largest)
    return 2.0 ** math.floor(math.log2(wanted))


def _linear(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    return {f"{name}.weight": weight, f"{name}.bias": bias}


def _read_linear(tensors: dict[str, Tensor], name: str) -> LinearHead | None:
    """A linear layer; None where it is not there, or its two shapes do not go together."""
    weight, bias = tensors.get(f"{name}.weight"), tensors.get(f"{name}.bias")
    if weight is None or bias is None or weight.ndim != 2 or bias.shape != weight.shape[:1]:
        return None
    return LinearHead(weight.float(), bias.float())
