"""Attention heads that look at their neighbours from the first step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from electra.config import ModelConfig
from electra.model.encoder import HIGHEST, LOWEST, Embeddings, Encoder

# Heads copy pairs above this: in slower ones a token and its neighbour are alike, and a query, which holds its own word
# too, would find itself instead of its neighbour.
SLOWEST_COPIED = 0.6


def frequencies(size: int) -> Tensor:
    """Radians a token of the (sin, cos) pairs in dimensions (0, 1), (2, 3), …: (size // 2,) float64, falling, so that
    a narrow network, which sees the leading dimensions, has those that tell neighbours apart."""
    pairs = size // 2
    return HIGHEST * (LOWEST / HIGHEST) ** (
        torch.arange(pairs, dtype=torch.float64) / max(1, pairs - 1)
    )


def sinusoidal_positions(num_positions: int, size: int, std: float) -> Tensor:
    """(num_positions, size) sinusoids of standard deviation `std`."""
    angle = torch.arange(num_positions, dtype=torch.float64)[:, None] * frequencies(
        size
    )  # (T, pairs)
    table = torch.zeros(num_positions, size, dtype=torch.float64)
    pairs = size // 2
    table[:, 0 : 2 * pairs : 2], table[:, 1 : 2 * pairs : 2] = angle.sin(), angle.cos()
    return (table * std * math.sqrt(2)).float()


def head_offset(layer: int, head: int, num_heads: int) -> int:
    """-1, +1, -2, +2, -3, +3 in turn through the heads of all layers."""
    return (-1, 1, -2, 2, -3, 3)[(layer * num_heads + head) % 6]


@torch.no_grad()
def look_at_neighbours(
    encoder: Encoder, embeddings: Embeddings, config: ModelConfig, generator: torch.Generator
) -> None:
    """Start every head of every layer with about half of its attention on the token at its `head_offset`.

    A key copies (sin, cos) pairs of the position, a query copies the same pairs turned by frequency x offset, so that
    their product is largest where the positions differ by the offset; both on top of the usual noise. The scale is
    found by bisection on the attention that the layer really pays to random tokens: too flat or too peaked, and
    training falls back on the plateau that this is meant to end. The projection starts as identity on the leading
    dimensions; what a layer adds to the residual starts smaller the more layers there are, as in GPT-2. `embeddings`
    must have sinusoidal positions.
    """
    E, C, D = config.embedding_size, config.hidden_size, config.hidden_size // config.num_heads
    if E != C:
        lead = min(E, C)
        encoder.projection.weight[:lead, :lead] += torch.eye(lead)
    fast = int((frequencies(E)[: min(E, C) // 2] > SLOWEST_COPIED).sum())
    pairs = torch.linspace(0, fast - 1, min(D // 2, fast)).round().long()
    omega = frequencies(E)[pairs].float()  # (P,)
    rows = torch.arange(len(pairs)) * 2

    training = encoder.training
    encoder.eval(), embeddings.eval()
    length = min(128, config.max_positions)
    ids = torch.randint(5, config.vocab_size, (2, length), generator=generator)
    x = encoder.projection(embeddings(ids, torch.zeros_like(ids)))  # (2, T, C)
    for number, layer in enumerate(encoder.layers):
        # Otherwise what many layers add hides the positions from the upper ones.
        layer.attention.out.weight *= math.sqrt(2 / max(2, config.num_layers))
        layer.down.weight *= math.sqrt(2 / max(2, config.num_layers))
        weight = layer.attention.qkv.weight.view(3, config.num_heads, D, C)
        for head in range(config.num_heads):
            offset = head_offset(number, head, config.num_heads)
            query, key = torch.zeros(D, C), torch.zeros(D, C)
            cos, sin = (omega * offset).cos(), (omega * offset).sin()
            key[rows, 2 * pairs], key[rows + 1, 2 * pairs + 1] = 1.0, 1.0
            # sin(w(p + o)) = sin wp cos wo + cos wp sin wo;  cos(w(p + o)) = cos wp cos wo - sin wp sin wo
            query[rows, 2 * pairs], query[rows, 2 * pairs + 1] = cos, sin
            query[rows + 1, 2 * pairs], query[rows + 1, 2 * pairs + 1] = -sin, cos
            scores = (x @ query.T) @ (x @ key.T).transpose(1, 2) / math.sqrt(D)  # (2, T, T)
            gain = _gain_for_half(scores, offset)
            weight[0, head] += query * math.sqrt(gain)
            weight[1, head] += key * math.sqrt(gain)
        x = layer(x, None)
    encoder.train(training), embeddings.train(training)


def _gain_for_half(scores: Tensor, offset: int) -> float:
    """The smallest factor on `scores` (B, T, T) that puts a mean share of one half on the diagonal `offset`; where
    words drown the positions and none does, the factor that comes closest."""

    def share(gain: float) -> float:
        return torch.softmax(gain * scores, -1).diagonal(offset, 1, 2).mean().item()

    high = 2.0**-6
    best = (share(high), high)
    while best[0] < 0.5 and high < 2.0**12:
        high *= 2
        best = max(best, (share(high), high))
    if best[0] < 0.5:
        return best[1]
    low = high / 2
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < 0.5 else (low, middle)
    return high
