"""Heads on top of an encoder. Letters: N positions, B rows, T tokens, E embedding size, C hidden size, V vocabulary."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.model.ops import Dropout, Linear


class MaskedLMHead(nn.Module):
    """Dense -> E, GELU, LayerNorm, then the word table itself as output matrix, plus a bias."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def transform(self, hidden: Tensor) -> Tensor:
        """(N, C) -> (N, E): all but the product with the word table."""
        return self.norm(F.gelu(self.dense(hidden)))

    def forward(self, hidden: Tensor, word_table: Tensor) -> Tensor:
        """hidden (N, C), word_table (V, E) -> logits (N, V). Training goes through `ops.masked_lm` instead."""
        return F.linear(self.transform(hidden), word_table, self.bias)


class ReplacedTokenHead(nn.Module):
    """Dense(C), GELU, dense(1): the logit that a token was replaced."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.out = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """(B, T, C) -> (B, T)."""
        return self.out(F.gelu(self.dense(hidden))).squeeze(-1)


class ClassificationHead(nn.Module):
    """Dropout and one linear layer, on [CLS] (`finetune/classification/classification_tasks.py`) or, for models whose
    [CLS] has seen too little pre-training to sum up a text, on the mean over the real tokens."""

    def __init__(self, config: ModelConfig, num_labels: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.dropout = Dropout(config.dropout)
        self.out = nn.Linear(config.hidden_size, num_labels)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """hidden (B, T, C), attention_mask (B, T) bool or None -> logits (B, num_labels)."""
        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif attention_mask is None:
            pooled = hidden.mean(1)
        else:
            weight = attention_mask.to(hidden.dtype)[:, :, None]
            pooled = (hidden * weight).sum(1) / weight.sum(1)
        return self.out(self.dropout(pooled))
