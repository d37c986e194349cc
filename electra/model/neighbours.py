"""Attention heads that look at their neighbours from the first step (`attention_init=neighbours`).

With the usual initialisation the attention must first find neighbours from random position vectors,
and a small budget ends on that plateau (docs/small-budgets.md). Here positions start as sinusoids,
keys copy them, and queries copy them rotated by the head's offset. So the product of a query and a
key is largest where their positions differ by the offset.

Letters: B rows, T tokens, P (sin, cos) pairs that a head copies, E embedding size, C hidden size,
H heads, D head size.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from electra.config import ModelConfig
from electra.model.encoder import Embeddings, Encoder, Layer, SelfAttention
from electra.model.linear import Linear

# Radians a token: from nearly alternating to one turn in 314 tokens.
HIGHEST_FREQUENCY, LOWEST_FREQUENCY = 2.8, 0.02

# Heads copy only pairs above this frequency. In slower ones a token and its neighbour are so alike
# that a query, which holds its own word too, would find itself instead of its neighbour.
LOWEST_COPIED_FREQUENCY = 0.6

OFFSETS = (-1, 1, -2, 2, -3, 3)
PROBE_ROWS, PROBE_TOKENS = 2, 128  # the random text that attention is measured on


class _CopiedPairs(NamedTuple):
    """The (sin, cos) pairs of the positions that each head copies."""

    number: Tensor  # (P,) int64: pair n is in dimensions 2n and 2n + 1
    frequency: Tensor  # (P,) float32, radians a token


def frequencies(size: int) -> Tensor:
    """Of the (sin, cos) pairs in dimensions (0, 1), (2, 3), …, in radians a token.

    (size // 2,) float64. They fall, because a narrow network sees only the leading dimensions, and
    the high frequencies tell neighbours apart.
    """
    pairs = size // 2
    exponent = torch.arange(pairs, dtype=torch.float64) / max(1, pairs - 1)
    return HIGHEST_FREQUENCY * (LOWEST_FREQUENCY / HIGHEST_FREQUENCY) ** exponent


def sinusoidal_positions(num_positions: int, size: int, std: float) -> Tensor:
    """Sinusoids of standard deviation `std`: (num_positions, size) float32."""
    positions = torch.arange(num_positions, dtype=torch.float64)
    angles = positions[:, None] * frequencies(size)  # (num_positions, size // 2)

    table = torch.zeros(num_positions, size, dtype=torch.float64)
    end = 2 * (size // 2)
    table[:, 0:end:2], table[:, 1:end:2] = angles.sin(), angles.cos()
    return (table * std * math.sqrt(2)).float()


def head_offset(layer: int, head: int, num_heads: int) -> int:
    """-1, +1, -2, +2, -3, +3 in turn through the heads of all layers."""
    return OFFSETS[(layer * num_heads + head) % len(OFFSETS)]


@torch.no_grad()
def look_at_neighbours(
    encoder: Encoder, embeddings: Embeddings, generator: torch.Generator
) -> None:
    """Change the usual initialisation so that each head puts half of its attention on its offset.

    `embeddings` must have sinusoidal positions. `generator` draws the tokens of a random text, on
    which each layer's attention is measured.
    """
    config = encoder.config
    if isinstance(encoder.projection, Linear):
        # The leading dimensions pass through, with the sinusoids in them.
        lead = min(config.embedding_size, config.hidden_size)
        encoder.projection.weight[:lead, :lead] += torch.eye(lead)

    was_training = encoder.training
    encoder.eval()
    embeddings.eval()
    length = min(PROBE_TOKENS, config.max_positions)
    first_word = len(config.special)
    ids = torch.randint(first_word, config.vocab_size, (PROBE_ROWS, length), generator=generator)
    x = encoder.projection(embeddings(ids, torch.zeros_like(ids)))  # (B, T, C)

    pairs = _copied_pairs(config)
    for number, layer in enumerate(encoder.layers):
        assert isinstance(layer, Layer)
        _shrink_residual(layer, config.num_layers)
        offsets = [head_offset(number, head, config.num_heads) for head in range(config.num_heads)]
        _aim_heads(layer.attention, offsets, pairs, x)
        x = layer(x, None)

    encoder.train(was_training)
    embeddings.train(was_training)


def _shrink_residual(layer: Layer, num_layers: int) -> None:
    """Scale down what a layer adds to its input, the more the more layers there are, as in GPT-2.

    Otherwise the sum over many layers hides the positions from the upper ones.
    """
    layer.attention.out.weight *= math.sqrt(2 / max(2, num_layers))
    layer.down.weight *= math.sqrt(2 / max(2, num_layers))


def _copied_pairs(config: ModelConfig) -> _CopiedPairs:
    """As many pairs as a head has room for, spread over the fast ones that the network sees."""
    visible = min(config.embedding_size, config.hidden_size) // 2
    omega = frequencies(config.embedding_size)
    num_fast = int((omega[:visible] > LOWEST_COPIED_FREQUENCY).sum())

    head_size = config.hidden_size // config.num_heads
    number = torch.linspace(0, num_fast - 1, min(head_size // 2, num_fast)).round().long()
    return _CopiedPairs(number, omega[number].float())


def _aim_heads(
    attention: SelfAttention, offsets: list[int], pairs: _CopiedPairs, x: Tensor
) -> None:
    """Add to queries and keys what makes each head look at its offset. x (B, T, C): their input."""
    C = x.shape[-1]
    D = C // attention.num_heads
    weight = attention.qkv.weight.view(3, attention.num_heads, D, C)

    for head, offset in enumerate(offsets):
        query, key = _position_copies(offset, pairs, (D, C))
        scores = (x @ query.T) @ (x @ key.T).transpose(1, 2) / math.sqrt(D)  # (B, T, T)
        gain = _find_gain(scores, offset)
        weight[0, head] += query * math.sqrt(gain)
        weight[1, head] += key * math.sqrt(gain)


def _position_copies(
    offset: int, pairs: _CopiedPairs, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Matrices (D, C) for the query, which rotates the copied pairs by the offset, and the key.

    With frequency w, position p and offset o:

        sin(w(p + o)) = sin wp cos wo + cos wp sin wo
        cos(w(p + o)) = cos wp cos wo - sin wp sin wo
    """
    sin_in = 2 * pairs.number  # columns of the matrices
    sin_out = 2 * torch.arange(len(pairs.number))  # their rows
    cos_in, cos_out = sin_in + 1, sin_out + 1
    angle = pairs.frequency * offset
    cos, sin = angle.cos(), angle.sin()

    query, key = torch.zeros(shape), torch.zeros(shape)
    key[sin_out, sin_in], key[cos_out, cos_in] = 1.0, 1.0
    query[sin_out, sin_in], query[sin_out, cos_in] = cos, sin
    query[cos_out, sin_in], query[cos_out, cos_in] = -sin, cos
    return query, key


def _find_gain(scores: Tensor, offset: int) -> float:
    """The smallest factor on scores (B, T, T) that puts half of the attention on the offset.

    Too flat or too peaked attention loses the whole effect. Where words drown the positions and no
    factor reaches one half, this returns the factor that comes closest.
    """

    def share(gain: float) -> float:
        return torch.softmax(gain * scores, -1).diagonal(offset, 1, 2).mean().item()

    # Double until the share is reached, then bisect.
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
