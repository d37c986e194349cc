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

import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.model.ops import Dropout, Linear, attend


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
            raise ValueError(
                f"{length} tokens are more than the model's {self.position.num_embeddings} positions"
            )
        x = (
            self.word(input_ids) + self.position.weight[:length] + self.token_type(token_type_ids)
        )  # (B, T, E)
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
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, D)
        x = attend(qkv, mask, self.dropout if self.training else 0.0)
        return self.out(x.flatten(2))  # (B, T, C)


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

HIGHEST, LOWEST = 2.8, 0.02  # radians a token: from nearly alternating to one turn in 314 tokens
