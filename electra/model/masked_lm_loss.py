"""The masked-LM loss over the vocabulary, and one sampled token for each masked position.

Letters: N masked positions, R of one piece, E embedding size, V vocabulary size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.model import masking

# Elements of one (R, V) piece. A CPU's caches hold its piece; a GPU's is enough for one product.
CPU_PIECE_ELEMENTS, GPU_PIECE_ELEMENTS = 2**22, 2**26


class MaskedLMLoss(NamedTuple):
    """Sums over the masked positions, and a token for each of them."""

    loss: Tensor  # 0-d float32: the weighted cross-entropies; carries the gradient
    correct: Tensor  # 0-d float32: the weights where the likeliest token is the target
    sampled: Tensor | None  # (N,) int64, where they were asked for


def masked_lm_loss(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor,
    targets: Tensor,
    weights: Tensor,
    uniform: Tensor | None = None,
    temperature: float = 1.0,
) -> MaskedLMLoss:
    """Cross-entropy of softmax(hidden tableᵀ + bias) with the targets, and a draw from it.

    hidden (N, E), table (V, E), bias (V,), targets (N,) int64, weights (N,) float32, and for a
    draw uniform (N, 1) float32 in [0, 1); the draw is from the softmax of the logits / temperature.

    The (N, V) logits never exist as a whole. Product, loss, sample and gradient of one piece of the
    rows come before those of the next. So the forward pass makes the gradient, and the backward
    pass scales it. Under autocast the products are in its dtype; softmax, sums and the gradient of
    the table are in float32.
    """
    device = hidden.device.type
    elements = CPU_PIECE_ELEMENTS if device == "cpu" else GPU_PIECE_ELEMENTS
    autocast = torch.is_autocast_enabled(device)
    work = _Work(
        targets,
        weights,
        uniform,
        temperature,
        dtype=torch.get_autocast_dtype(device) if autocast else hidden.dtype,
        rows=max(1, elements // len(table)),
        wants_gradient=torch.is_grad_enabled(),
    )
    return MaskedLMLoss(*_PiecewiseLoss.apply(hidden, table, bias, work))


class _Work(NamedTuple):
    """What `_PiecewiseLoss` reads besides the tensors that get a gradient."""

    targets: Tensor  # (N,) int64
    weights: Tensor  # (N,) float32
    uniform: Tensor | None  # (N, 1) float32
    temperature: float  # of the draw
    dtype: torch.dtype  # of the products
    rows: int  # of a piece
    wants_gradient: bool


class _PiecewiseLoss(torch.autograd.Function):
    """What `MaskedLMLoss` holds, R rows at a time."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, table: Tensor, bias: Tensor, work: _Work
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        wide = torch.promote_types(hidden.dtype, torch.float32)
        x, W, b = hidden.to(work.dtype), table.to(work.dtype), bias.to(work.dtype)
        loss, correct = hidden.new_zeros((), dtype=wide), hidden.new_zeros((), dtype=wide)
        sampled = []
        if work.wants_gradient:
            d_hidden = torch.empty_like(x)
            d_table = torch.zeros_like(table, dtype=wide)
            d_bias = torch.zeros_like(bias, dtype=wide)

        with torch.autocast(hidden.device.type, enabled=False):
            for begin in range(0, len(hidden), work.rows):
                piece = slice(begin, begin + work.rows)
                target, weight = work.targets[piece, None], work.weights[piece]  # (R, 1), (R,)

                p, log_p, guess = _predict(x[piece], W, b, target, wide)
                # Not in place: compiled, such an output has no gradient (pytorch issue 180642).
                loss = loss - (log_p.squeeze(1) * weight).sum()
                correct = correct + ((guess == target).squeeze(1) * weight).sum()
                if work.uniform is not None:
                    flat = p if work.temperature == 1 else _at_temperature(p, work.temperature)
                    sampled.append(masking.sample(flat, work.uniform[piece]))

                if work.wants_gradient:
                    # The gradient of the logits, softmax minus target, takes the place of p.
                    p.scatter_add_(1, target, -torch.ones_like(target, dtype=wide))
                    p.mul_(weight[:, None])
                    d_bias += p.sum(0)
                    d_logits = p.to(work.dtype)
                    d_hidden[piece] = d_logits @ W
                    d_table += d_logits.t() @ x[piece]

        if work.wants_gradient:
            ctx.save_for_backward(d_hidden, d_table, d_bias)
            ctx.dtypes = hidden.dtype, table.dtype, bias.dtype
        tokens = torch.cat(sampled) if sampled else None
        ctx.mark_non_differentiable(correct, *(() if tokens is None else (tokens,)))
        return loss, correct, tokens

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        gradients = [
            (gradient * d_loss).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *gradients, None


def _at_temperature(p: Tensor, temperature: float) -> Tensor:
    """softmax(logits) (R, V) -> softmax(logits / temperature) up to a factor a row, which is 1 at
    the likeliest token: so nothing becomes 0 that is likely."""
    return (p / p.amax(-1, keepdim=True)).pow(1 / temperature)


def _predict(
    x: Tensor, table: Tensor, bias: Tensor, target: Tensor, wide: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """x (R, E), table (V, E), bias (V,), target (R, 1) -> the softmax (R, V) in the dtype `wide`,
    the logarithm of the target's probability (R, 1), and the likeliest token (R, 1)."""
    logits = F.linear(x, table, bias).to(wide)  # (R, V)
    largest, guess = logits.max(-1, keepdim=True)
    below_largest = logits.gather(1, target) - largest
    p = torch.softmax(logits, -1)
    del logits  # before anything else is allocated

    # Softmax at the largest logit is 1 / the sum that log-softmax takes the logarithm of.
    log_p = below_largest + p.gather(1, guess).log()
    return p, log_p, guess
