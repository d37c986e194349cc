"""The Transformer encoder of BERT and ELECTRA (Devlin et al. 2019): embeddings and layers.

Post-LayerNorm and exact GELU. initialisation.py has how the weights start.

Letters: B rows, T tokens, E embedding size, C hidden size, I feed-forward size, H heads, D = C / H.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.model.attention import attend
from electra.model.dropout import Dropout
from electra.model.linear import Linear, linear


class Embeddings(nn.Module):
    """Word + position + type, then LayerNorm and dropout.

    ELECTRA's generator and discriminator share one such module (paper, section 3.2).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.word = nn.Embedding(config.vocab_size, config.embedding_size)
        self.position = nn.Embedding(config.max_positions, config.embedding_size)
        self.token_type = nn.Embedding(config.type_vocab_size, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """input_ids (B, T) int64, token_type_ids (B, T) int64 -> (B, T, E).

        Raises ValueError where T is larger than the number of positions.
        """
        length, max_positions = input_ids.shape[1], self.position.num_embeddings
        if length > max_positions:
            raise ValueError(f"{length} tokens are more than the model's {max_positions} positions")

        word = self.word(input_ids)  # (B, T, E)
        x = word + self.position.weight[:length] + self.token_type(token_type_ids)
        return self.dropout(self.norm(x))


class SelfAttention(nn.Module):
    """Multi-head self-attention. One product makes queries, keys and values."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.attention_dropout
        self.qkv = Linear(config.hidden_size, 3 * config.hidden_size)
        self.out = Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None, first_alone: bool = False) -> Tensor:
        """x (B, T, C) -> (B, T, C), or (B, 1, C) for the first token alone.

        mask (B, 1, 1, T) bool: True where a token may be looked at; None for everywhere.
        """
        if first_alone:
            return self.out(self._attend_from_first(x, mask))
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, D)
        x = attend(qkv, mask, self.dropout if self.training else 0.0)  # (B, T, H, D)
        return self.out(x.flatten(2))  # (B, T, C)

    def _attend_from_first(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """What the first token finds, (B, 1, C): one query for all keys and values."""
        C, weight, bias = x.shape[-1], self.qkv.weight, self.qkv.bias
        q = linear(x[:, :1], weight[:C], bias[:C]).unflatten(-1, (self.num_heads, -1))
        kv = linear(x, weight[C:], bias[C:]).unflatten(-1, (2, self.num_heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        dropout = self.dropout if self.training else 0.0
        x = F.scaled_dot_product_attention(q.transpose(1, 2), k, v, mask, dropout)  # (B, H, 1, D)
        return x.transpose(1, 2).flatten(2)


class Layer(nn.Module):
    """Attention, then feed-forward, each followed by dropout, residual sum and LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.up = Linear(config.hidden_size, config.intermediate_size)
        self.down = Linear(config.intermediate_size, config.hidden_size)
        self.output_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, first_alone: bool = False) -> Tensor:
        """x (B, T, C) -> (B, T, C), or (B, 1, C); mask and first_alone as in `SelfAttention`."""
        attended = self.dropout(self.attention(x, mask, first_alone))
        x = self.attention_norm((x[:, :1] if first_alone else x) + attended)
        feed_forward = self.down(F.gelu(self.up(x)))  # (B, T, I) in between
        return self.output_norm(x + self.dropout(feed_forward))


class Encoder(nn.Module):
    """The layers, below them a projection from the embeddings where E and C differ.

    The embeddings are passed in: the model that owns them decides which encoders share them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        E, C = config.embedding_size, config.hidden_size
        self.config = config
        self.projection = Linear(E, C) if E != C else nn.Identity()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))

    def forward(
        self, embedded: Tensor, attention_mask: Tensor | None, first_alone: bool = False
    ) -> Tensor:
        """embedded (B, T, E) -> (B, T, C).

        attention_mask (B, T) bool: True for real tokens; None where there is no padding.
        first_alone: the last layer computes the first token alone, [CLS] -> (B, 1, C). A head that
        reads nothing else gets the same from less work.
        """
        mask = None if attention_mask is None else attention_mask[:, None, None, :]
        x = self.projection(embedded)  # (B, T, C)
        *lower, top = self.layers
        for layer in lower:
            x = layer(x, mask)
        return top(x, mask, first_alone)
