"""Operations that PyTorch has too, but slowly on a CPU or in too much memory. Each computes what its plain form does;
the tests hold them together, and docs/performance-log.md has what each one saves.

    linear          a layer of many tokens as a convolution on a CPU, which is faster than a product of matrices
    dropout         masks from bulk random bits on a CPU: `bernoulli_` took a sixth of a training step
    attend          plain products on a CPU, some rows at a time; `scaled_dot_product_attention` elsewhere
    masked_lm       vocabulary head, its loss, its gradient and one sample a row, a piece of the rows at a time

Letters: B rows, T tokens, H heads, D head size, N positions, E embedding size, V vocabulary.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.model import masking

# --- products with weights ---

# Tokens. With fewer, products of matrices were as fast or faster (docs/performance-log.md).
MANY = 2048


class Linear(nn.Linear):
    """`nn.Linear` by way of `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weightᵀ + bias: x (..., T, C), weight (O, C), bias (O,) or None -> (..., T, O).

    Many tokens on a CPU go through a convolution: the same sums, over pictures that are T high and one wide, with the
    channels last, so that nothing is copied. It adds the bias on the way, and in float32 it is oneDNN's code where a
    product of matrices is MKL's.
    """
    if (
        x.device.type != "cpu"
        or torch.compiler.is_compiling()
        or x.numel() < MANY * x.shape[-1]
        or not torch.backends.mkldnn.is_available()
    ):
        return F.linear(x, weight, bias)
    pictures = (
        x.contiguous().view(-1, x.shape[-2], 1, x.shape[-1]).permute(0, 3, 1, 2)
    )  # (B, C, T, 1)
    y = F.conv2d(pictures, weight[:, :, None, None], bias)  # (B, O, T, 1)
    return y.permute(0, 2, 3, 1).view(*x.shape[:-1], len(weight))


# --- dropout ---


class Dropout(nn.Module):
    """`dropout` in training, nothing in evaluation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate) if self.training else x

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def dropout(x: Tensor, rate: float) -> Tensor:
    """Zero each element with probability `rate`, in [0, 1), and scale the others so that the mean stays. On a CPU from
    bits that torch's global generator seeds, at the rate of `keep_factors`."""
    if rate == 0.0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, rate)
    return x * keep_factors(x.shape, rate).to(x.dtype)


def keep_factors(shape: torch.Size, rate: float) -> Tensor:
    """A bf16 tensor of 0 and 1 / (1 - rate).

    The factor is the nearest that bf16 holds, and the share of zeros is the one that goes with it, to 2^-16: 0.0986
    for 0.1. Sixteen bits of a random number make each element, by integer operations that a CPU does 16 or 32 at once.
    The bits are those of numpy's SFC64, at twice the speed of torch's generator, which gives it its seed.
    """
    mantissa, exponent = math.frexp(1 / (1 - rate))
    digits = round(mantissa * 2**8)  # the 8 binary digits that bf16 has
    kept = round(2**15 / (digits * 2.0 ** (exponent - 8)))
    pattern = ((exponent + 126) << 7) + digits - 2**7  # the factor's bits
    count = math.prod(shape)
    start = int(torch.empty((), dtype=torch.int64).random_())
    bits = torch.from_numpy(np.random.SFC64(start).random_raw(-(-count // 4)).view(np.int16))[
        :count
    ]
    # 15 random bits - kept is negative with probability kept / 2^15; the shift copies its sign into all its bits.
    keep = bits.bitwise_and_(2**15 - 1).sub_(kept).bitwise_right_shift_(15)
    return keep.bitwise_and_(pattern).view(torch.bfloat16).view(shape)


# --- attention ---

SHORT = 512  # tokens; above it the T x T weights cost more than they save
PIECE = 2**20  # bytes of them at a time for each core, about what its second-level cache holds


def attend(qkv: Tensor, mask: Tensor | None, rate: float) -> Tensor:
    """softmax(q kᵀ / √D) v: qkv (B, T, 3, H, D), queries, keys and values as one product makes them, -> (B, T, H, D);
    mask (B, 1, 1, T) bool, True where a token may be looked at, or None; dropout on the softmax at `rate`.

    Through `scaled_dot_product_attention`, but for short lengths on a CPU, where plain products, some rows at a time,
    are two to four times as fast as its fused passes.
    """
    B, T, _, H, D = qkv.shape
    if qkv.device.type != "cpu" or T > SHORT or torch.compiler.is_compiling():
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate).transpose(
            1, 2
        )
    bias = (
        None
        if mask is None
        else torch.zeros(mask.shape, dtype=qkv.dtype).masked_fill_(~mask, -math.inf)
    )
    keep = keep_factors(torch.Size((B, H, T, T)), rate) if rate else None
    pieces = -(-B * H * T * T * qkv.element_size() // (PIECE * torch.get_num_threads()))
    return _Attention.apply(qkv, bias, keep, -(-B // pieces))


class _Attention(torch.autograd.Function):
    """What lies between two products stays in the caches, where whole (B, H, T, T) tensors go to memory and back, and
    the gradients of q, k and v are written into one tensor.

    All pieces have the same number of rows and share their tensors. The last one ends with the batch: where the number
    does not divide B, it computes some rows a second time.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)  # softmax sums in float32 for bf16 input, too
    def forward(ctx, qkv, bias, keep, rows):
        (B, T, _, H, D), empty = qkv.shape, qkv.new_empty
        out = empty(B, T, H, D)
        weights = empty(B, H, T, T) if ctx.needs_input_grad[0] else None
        own, scores, o = empty(3, rows, H, T, D), empty(rows, H, T, T), empty(rows, H, T, D)
        (q, k, v), flat_scores, flat_o = (
            own.flatten(1, 2),
            scores.flatten(0, 1),
            o.flatten(0, 1),
        )  # (rows * H, T, .)
        for piece in _pieces(B, rows):
            own.copy_(qkv[piece].permute(2, 0, 3, 1, 4))
            torch.baddbmm(flat_scores, q, k.mT, beta=0, alpha=D**-0.5, out=flat_scores)
            if bias is not None:
                scores += bias[piece]
            p = torch.softmax(scores, -1, out=scores if weights is None else weights[piece])
            if keep is not None:
                p = torch.mul(p, keep[piece].to(p.dtype), out=scores)
            torch.bmm(p.flatten(0, 1), v, out=flat_o)
            out[piece] = o.transpose(1, 2)
        ctx.save_for_backward(qkv, weights, keep)
        ctx.rows = rows
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    @torch.autocast("cpu", enabled=False)
    def backward(ctx, d_out):
        qkv, weights, keep = ctx.saved_tensors
        (B, T, _, H, D), rows, empty = qkv.shape, ctx.rows, qkv.new_empty
        d_qkv = torch.empty_like(qkv)
        own, d_own, d_o = empty(3, rows, H, T, D), empty(3, rows, H, T, D), empty(rows, H, T, D)
        dropped, d_scores = empty(rows, H, T, T), empty(rows, H, T, T)
        (q, k, v), (d_q, d_k, d_v), flat_d_o = (
            own.flatten(1, 2),
            d_own.flatten(1, 2),
            d_o.flatten(0, 1),
        )
        flat_dropped, flat_d_scores = dropped.flatten(0, 1), d_scores.flatten(0, 1)
        for piece in _pieces(B, rows):
            own.copy_(qkv[piece].permute(2, 0, 3, 1, 4))
            d_o.copy_(d_out[piece].transpose(1, 2))
            p = weights[piece]
            factors = 1.0 if keep is None else keep[piece].to(p.dtype)
            torch.mul(p, factors, out=dropped)
            torch.bmm(flat_dropped.mT, flat_d_o, out=d_v)
            torch.bmm(flat_d_o, v.mT, out=flat_dropped)  # the gradient of `dropped`, in its place
            dropped.mul_(factors)
            torch.ops.aten._softmax_backward_data(dropped, p, -1, p.dtype, grad_input=d_scores)
            torch.baddbmm(d_q, flat_d_scores, k, beta=0, alpha=D**-0.5, out=d_q)
            torch.baddbmm(d_k, flat_d_scores.mT, q, beta=0, alpha=D**-0.5, out=d_k)
            d_qkv[piece] = d_own.permute(1, 3, 0, 2, 4)
        return d_qkv, None, None, None


def _pieces(count: int, rows: int) -> list[slice]:
    """Pieces of `rows` out of `count`, the last of which ends with them."""
    return [
        slice(end - rows, end)
        for end in (min(begin + rows, count) for begin in range(0, count, rows))
    ]


# --- the vocabulary head ---

# Elements of the (rows, V) piece that is worked on: on a CPU what its caches hold, on a GPU enough for one product.
CPU_PIECE, GPU_PIECE = 2**22, 2**26


def masked_lm(
    hidden: Tensor,
    table: Tensor,
    bias: Tensor,
    targets: Tensor,
    weights: Tensor,
    uniform: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Cross-entropy of softmax(hidden tableᵀ + bias), and a draw from it.

    hidden (N, E), table (V, E), bias (V,), targets (N,) int64, weights (N,) float32, uniform (N, 1) float32 in [0, 1)
    or None -> the weighted sum of the losses, the weighted number of right first guesses, both 0-d float32, and a token
    a row, (N,) int64, where `uniform` is given.

    The (N, V) logits never exist as a whole: pieces of the rows go through product, loss and gradient one after the
    other. So a gradient is made in the forward pass and scaled in the backward one. Under autocast the products are in
    its type; softmax, sums and the gradient of the table are in float32.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    rows = max(1, (CPU_PIECE if device == "cpu" else GPU_PIECE) // len(table))
    loss, correct, sampled = _MaskedLM.apply(
        hidden, table, bias, targets, weights, uniform, dtype, rows, torch.is_grad_enabled()
    )
    return loss, correct, sampled


class _MaskedLM(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, table, bias, targets, weights, uniform, dtype, rows, wants_gradient):
        wide = torch.promote_types(hidden.dtype, torch.float32)
        narrow_hidden, narrow_table, narrow_bias = hidden.to(dtype), table.to(dtype), bias.to(dtype)
        loss, correct = hidden.new_zeros((), dtype=wide), hidden.new_zeros((), dtype=wide)
        sampled = []
        if wants_gradient:
            d_hidden = torch.empty_like(narrow_hidden)
            d_table, d_bias = (
                torch.zeros_like(table, dtype=wide),
                torch.zeros_like(bias, dtype=wide),
            )
        with torch.autocast(hidden.device.type, enabled=False):
            for begin in range(0, len(hidden), rows):
                piece = slice(begin, begin + rows)
                target, weight = targets[piece, None], weights[piece]
                logits = F.linear(narrow_hidden[piece], narrow_table, narrow_bias).to(
                    wide
                )  # (rows, V)
                largest, guess = logits.max(-1, keepdim=True)
                right = logits.gather(1, target) - largest
                p = torch.softmax(logits, -1)
                del logits
                # softmax at the largest logit is 1 / the sum that log-softmax takes the logarithm of
                log_p = right + p.gather(1, guess).log()
                loss -= (log_p.squeeze(1) * weight).sum()
                correct += ((guess == target).squeeze(1) * weight).sum()
                if uniform is not None:
                    sampled.append(masking.sample(p, uniform[piece]))
                if wants_gradient:
                    p.scatter_add_(1, target, -torch.ones_like(target, dtype=wide))
                    p.mul_(weight[:, None])
                    d_bias += p.sum(0)
                    d_logits = p.to(dtype)
                    d_hidden[piece] = d_logits @ narrow_table
                    d_table += d_logits.t() @ narrow_hidden[piece]
        if wants_gradient:
            ctx.save_for_backward(d_hidden, d_table, d_bias)
            ctx.dtypes = hidden.dtype, table.dtype, bias.dtype
        tokens = torch.cat(sampled) if sampled else None
        ctx.mark_non_differentiable(correct, *(() if tokens is None else (tokens,)))
        return loss, correct, tokens

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_loss, *_):
        gradients = ((d * d_loss).to(dtype) for d, dtype in zip(ctx.saved_tensors, ctx.dtypes))
        return *gradients, None, None, None, None, None, None
