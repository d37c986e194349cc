"""Scaled dot-product attention.

There are two ways, and each pays for itself. On a GPU, and for long texts, PyTorch's fused
`scaled_dot_product_attention` never stores the T x T weights. On a CPU with up to
`CPU_MAX_TOKENS` tokens plain matrix products are two to four times as fast as its fused kernel
(docs/performance-log.md), so they are done here, with a backward pass of their own.

Letters: B rows, T tokens, H heads, D head size, R rows of one piece.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from electra.model.dropout import keep_factors

CPU_MAX_TOKENS = 512  # above it the T x T weights cost more than they save
PIECE_BYTES = 2**20  # of the weights of one piece, for each core: its second-level cache holds them


def attend(qkv: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """softmax(q kᵀ / √D) v, with dropout on the softmax.

    qkv (B, T, 3, H, D): queries, keys and values, as one product makes them. mask (B, 1, 1, T)
    bool: True where a token may be looked at; None for everywhere. dropout: a rate in [0, 1).
    Returns (B, T, H, D) of the dtype of `qkv`.
    """
    if qkv.device.type != "cpu" or qkv.shape[1] > CPU_MAX_TOKENS or torch.compiler.is_compiling():
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return out.transpose(1, 2)

    B, T, _, H, _ = qkv.shape
    bias = None
    if mask is not None:
        bias = torch.zeros(mask.shape, dtype=qkv.dtype).masked_fill_(~mask, -math.inf)
    keep = keep_factors(torch.Size((B, H, T, T)), dropout) if dropout else None

    weight_bytes = B * H * T * T * qkv.element_size()
    num_pieces = -(-weight_bytes // (PIECE_BYTES * torch.get_num_threads()))
    return _PiecewiseAttention.apply(qkv, bias, keep, -(-B // num_pieces))


def _without_autocast(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function outside of autocast. `torch.autocast` as a decorator would keep what it is to
    restore in one object, which threads side by side would share."""

    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return function(*arguments)

    return run


class _PiecewiseAttention(torch.autograd.Function):
    """Attention over R rows of the batch at a time.

    What lies between two products stays in the caches, where whole (B, H, T, T) tensors go to
    memory and back. The gradients of q, k and v are written into one tensor.

    qkv (B, T, 3, H, D), bias (B, 1, 1, T) or None to add to the scores, keep (B, H, T, T) bfloat16
    or None to multiply the weights by -> (B, T, H, D).
    """

    @staticmethod
    @_without_autocast  # softmax sums in float32 for bf16 input, too
    def forward(
        ctx: Any, qkv: Tensor, bias: Tensor | None, keep: Tensor | None, rows: int
    ) -> Tensor:
        B, T, _, H, D = qkv.shape
        out = qkv.new_empty(B, T, H, D)
        weights = qkv.new_empty(B, H, T, T) if ctx.needs_input_grad[0] else None

        # All pieces share these tensors.
        own_qkv = qkv.new_empty(3, rows, H, T, D)
        scores = qkv.new_empty(rows, H, T, T)
        own_out = qkv.new_empty(rows, H, T, D)
        q, k, v = own_qkv.flatten(1, 2)  # (R * H, T, D) each
        flat_scores, flat_out = scores.flatten(0, 1), own_out.flatten(0, 1)

        for piece in _pieces(B, rows):
            own_qkv.copy_(qkv[piece].permute(2, 0, 3, 1, 4))
            torch.baddbmm(flat_scores, q, k.mT, beta=0, alpha=D**-0.5, out=flat_scores)
            if bias is not None:
                scores += bias[piece]

            p = torch.softmax(scores, -1, out=scores if weights is None else weights[piece])
            if keep is not None:
                p = torch.mul(p, keep[piece].to(p.dtype), out=scores)
            torch.bmm(p.flatten(0, 1), v, out=flat_out)
            out[piece] = own_out.transpose(1, 2)

        ctx.save_for_backward(qkv, weights, keep)
        ctx.rows = rows
        return out

    @staticmethod
    @_without_autocast
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor, None, None, None]:
        qkv, weights, keep = ctx.saved_tensors
        (B, T, _, H, D), rows = qkv.shape, ctx.rows
        d_qkv = torch.empty_like(qkv)

        own_qkv, own_d_qkv = qkv.new_empty(3, rows, H, T, D), qkv.new_empty(3, rows, H, T, D)
        own_d_out = qkv.new_empty(rows, H, T, D)
        dropped, d_scores = qkv.new_empty(rows, H, T, T), qkv.new_empty(rows, H, T, T)
        q, k, v = own_qkv.flatten(1, 2)  # (R * H, T, D) each
        d_q, d_k, d_v = own_d_qkv.flatten(1, 2)
        flat_d_out = own_d_out.flatten(0, 1)
        flat_dropped, flat_d_scores = dropped.flatten(0, 1), d_scores.flatten(0, 1)

        for piece in _pieces(B, rows):
            own_qkv.copy_(qkv[piece].permute(2, 0, 3, 1, 4))
            own_d_out.copy_(d_out[piece].transpose(1, 2))

            p = weights[piece]
            factors = 1.0 if keep is None else keep[piece].to(p.dtype)
            torch.mul(p, factors, out=dropped)
            torch.bmm(flat_dropped.mT, flat_d_out, out=d_v)

            # The gradient of `dropped` takes its place.
            torch.bmm(flat_d_out, v.mT, out=flat_dropped)
            dropped.mul_(factors)
            torch.ops.aten._softmax_backward_data(dropped, p, -1, p.dtype, grad_input=d_scores)
            torch.baddbmm(d_q, flat_d_scores, k, beta=0, alpha=D**-0.5, out=d_q)
            torch.baddbmm(d_k, flat_d_scores.mT, q, beta=0, alpha=D**-0.5, out=d_k)
            d_qkv[piece] = own_d_qkv.permute(1, 3, 0, 2, 4)

        return d_qkv, None, None, None


def _pieces(count: int, rows: int) -> list[slice]:
    """Slices of `rows` rows that cover `count` rows.

    All are equally long, so that they can share their tensors. Where `rows` does not divide
    `count`, the last slice begins earlier and computes some rows a second time.
    """
    ends = (min(begin + rows, count) for begin in range(0, count, rows))
    return [slice(end - rows, end) for end in ends]
