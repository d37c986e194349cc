"""The linear layer, which is a convolution for many tokens on a CPU: the same sums, but faster.

Letters: B rows, T tokens, C channels in, O channels out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# With fewer tokens a matrix product is as fast or faster (docs/performance-log.md).
CONVOLUTION_MIN_TOKENS = 2048
# The gradient of the weights is slow for images that are not high (docs/performance-log.md). Rows
# of fewer tokens than the first number are joined, to images of at least the second.
SHORT_ROW, IMAGE_HEIGHT = 64, 128


class Linear(nn.Linear):
    """`nn.Linear`, computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., T, C) -> (..., T, O)."""
        return linear(x, self.weight, self.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weightᵀ + bias: x (..., T, C), weight (O, C), bias (O,) or None -> (..., T, O).

    On a CPU many tokens go through a convolution over images that are one wide and T high, or a
    multiple of that. The channels come last in memory, so that nothing is copied. The convolution
    adds the bias on the way, and in float32 it runs oneDNN's code, where a matrix product runs
    MKL's.
    """
    if (
        x.device.type != "cpu"
        or torch.compiler.is_compiling()
        or x.numel() < CONVOLUTION_MIN_TOKENS * x.shape[-1]
        or not torch.backends.mkldnn.is_available()
    ):
        return F.linear(x, weight, bias)

    tokens = x.numel() // x.shape[-1]
    images = x.contiguous().view(image_count(tokens, x.shape[-2]), -1, 1, x.shape[-1])
    images = images.permute(0, 3, 1, 2)  # (images, C, height, 1)
    y = F.conv2d(images, weight[:, :, None, None], bias)  # (images, O, height, 1)
    return y.permute(0, 2, 3, 1).view(*x.shape[:-1], len(weight))


def image_count(tokens: int, row_tokens: int) -> int:
    """Into how many images of equal height `tokens` go, in rows of `row_tokens`: one for each row,
    or for several short ones."""
    if row_tokens >= SHORT_ROW:
        return tokens // row_tokens
    count = max(1, tokens // IMAGE_HEIGHT)
    while tokens % count:
        count -= 1
    return count
