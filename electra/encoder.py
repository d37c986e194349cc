"""The Transformer encoder of BERT and ELECTRA: embeddings, self-attention, feed-forward, layers.

Letters: B rows, T tokens, E embedding size, C hidden size, H heads, D = C / H.
Post-LayerNorm, exact GELU, as in Devlin et al. 2019. Attention and dropout are in ops.py.

How the weights start (`attention_init`):

    usual        every matrix truncated normal(0, 0.02), biases 0, LayerNorm 1 and 0
    neighbours   the same, and on top of it heads that look at their neighbours from the first step: positions are
                 sinusoids, queries and keys copy them, see `look_at_neighbours`. Only first values change: what is
                 trained and saved is the plain architecture.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.ops import Dropout, Linear, attend


def init_weights(module: nn.Module, std: float) -> None:
    """Truncated normal (at two standard deviations) matrices, zero biases."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


class Embeddings(nn.Module):
    """Word + position + type, LayerNorm, dropout. One such module serves generator and discriminator."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.embedding_size)
        self.position = nn.Embedding(config.max_positions, config.embedding_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """(B, T) int64, (B, T) int64 -> (B, T, E). Raises ValueError beyond the last position."""
        length = input_ids.shape[1]
        if length > self.position.num_embeddings:
            raise ValueError(f"{length} tokens are more than the model's {self.position.num_embeddings} positions")
        x = self.word(input_ids) + self.position.weight[:length] + self.token_type(token_type_ids)   # (B, T, E)
        return self.dropout(self.norm(x))


class SelfAttention(nn.Module):
    """Multi-head self-attention. Queries, keys and values come out of one product."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.attention_dropout
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, C); mask (B, 1, 1, T) bool, True where a token may be looked at, None for all."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))                                 # (B, T, 3, H, D)
        x = attend(qkv, mask, self.dropout if self.training else 0.0)
        return self.out(x.flatten(2))                                                           # (B, T, C)


class Layer(nn.Module):
    """Attention and feed-forward, each with dropout, residual and LayerNorm after it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up = Linear(config.hidden_size, config.intermediate_size)
        self.down = Linear(config.intermediate_size, config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, C) -> (B, T, C); mask as in `SelfAttention`."""
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.output_norm(x + self.dropout(self.down(F.gelu(self.up(x)))))


class Encoder(nn.Module):
    """Projection from the embeddings (none where the sizes are equal) and the layers. The embeddings are passed in:
    whoever owns them decides who shares them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        E, C = config.embedding_size, config.hidden_size
        self.projection = Linear(E, C) if E != C else nn.Identity()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))

    def forward(self, embedded: Tensor, attention_mask: Tensor | None) -> Tensor:
        """embedded (B, T, E), attention_mask (B, T) bool or None (no padding) -> (B, T, C)."""
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        x = self.projection(embedded)
        for layer in self.layers:
            x = layer(x, mask)
        return x


# --- first values: heads that look at their neighbours ---

HIGHEST, LOWEST = 2.8, 0.02   # radians a token: from nearly alternating to one turn in 314 tokens
# Heads copy pairs above this: in slower ones a token and its neighbour are alike, and a query, which holds its own word
# too, would find itself instead of its neighbour.
SLOWEST_COPIED = 0.6


def frequencies(size: int) -> Tensor:
    """Radians a token of the (sin, cos) pairs in dimensions (0, 1), (2, 3), …: (size // 2,) float64, falling, so that
    a narrow network, which sees the leading dimensions, has those that tell neighbours apart."""
    pairs = size // 2
    return HIGHEST * (LOWEST / HIGHEST) ** (torch.arange(pairs, dtype=torch.float64) / max(1, pairs - 1))


def sinusoidal_positions(num_positions: int, size: int, std: float) -> Tensor:
    """(num_positions, size) sinusoids of standard deviation `std`."""
    angle = torch.arange(num_positions, dtype=torch.float64)[:, None] * frequencies(size)        # (T, pairs)
    table = torch.zeros(num_positions, size, dtype=torch.float64)
    pairs = size // 2
    table[:, 0:2 * pairs:2], table[:, 1:2 * pairs:2] = angle.sin(), angle.cos()
    return (table * std * math.sqrt(2)).float()


def head_offset(layer: int, head: int, num_heads: int) -> int:
    """-1, +1, -2, +2, -3, +3 in turn through the heads of all layers."""
    return (-1, 1, -2, 2, -3, 3)[(layer * num_heads + head) % 6]


@torch.no_grad()
def look_at_neighbours(encoder: Encoder, embeddings: Embeddings, config: ModelConfig,
                       generator: torch.Generator) -> None:
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
    fast = int((frequencies(E)[:min(E, C) // 2] > SLOWEST_COPIED).sum())
    pairs = torch.linspace(0, fast - 1, min(D // 2, fast)).round().long()
    omega = frequencies(E)[pairs].float()                                                        # (P,)
    rows = torch.arange(len(pairs)) * 2

    training = encoder.training
    encoder.eval(), embeddings.eval()
    length = min(128, config.max_positions)
    ids = torch.randint(5, config.vocab_size, (2, length), generator=generator)
    x = encoder.projection(embeddings(ids, torch.zeros_like(ids)))                               # (2, T, C)
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
            scores = (x @ query.T) @ (x @ key.T).transpose(1, 2) / math.sqrt(D)                  # (2, T, T)
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

    high = 2.0 ** -6
    best = (share(high), high)
    while best[0] < 0.5 and high < 2.0 ** 12:
        high *= 2
        best = max(best, (share(high), high))
    if best[0] < 0.5:
        return best[1]
    low = high / 2
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if share(middle) < 0.5 else (low, middle)
    return high
