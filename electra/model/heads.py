"""The heads on top of an encoder: masked LM, replaced-token detection, texts, tokens.

Letters: B rows, T tokens, N masked positions, E embedding size, C hidden size, V vocabulary size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.config import ModelConfig
from electra.model.dropout import Dropout
from electra.model.linear import Linear


class MaskedLMHead(nn.Module):
    """Dense to E, GELU, LayerNorm, then the tied word embeddings as output matrix, plus a bias.

    Follows `run_pretraining.py: _get_masked_lm_output` of google-research/electra.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.embedding_size)
        self.norm = nn.LayerNorm(config.embedding_size, eps=config.layer_norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def transform(self, hidden: Tensor) -> Tensor:
        """All but the product with the word embeddings: (N, C) -> (N, E)."""
        return self.norm(F.gelu(self.dense(hidden)))

    def forward(self, hidden: Tensor, word_table: Tensor) -> Tensor:
        """hidden (N, C), word_table (V, E) -> logits (N, V).

        The loss does not come this way: `masked_lm_loss` never makes all logits at once.
        """
        return F.linear(self.transform(hidden), word_table, self.bias)


class ReplacedTokenHead(nn.Module):
    """Dense, GELU, dense to one logit: that the token was replaced.

    Follows `run_pretraining.py: _get_discriminator_output` of google-research/electra.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.hidden_size)
        self.out = nn.Linear(config.hidden_size, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, C) -> logits (B, T)."""
        return self.out(F.gelu(self.dense(hidden))).squeeze(-1)


def pool(hidden: Tensor, attention_mask: Tensor | None, pooling: str) -> Tensor:
    """One vector for each text: hidden (B, T, C), attention_mask (B, T) bool or None -> (B, C).

    pooling: "cls", the vector of [CLS], for which (B, 1, C) is enough, or "mean", over the real
    tokens, [CLS] and [SEP] included.
    """
    if pooling == "cls":
        return hidden[:, 0]
    if attention_mask is None:
        return hidden.mean(1)
    weight = attention_mask.to(hidden.dtype)[:, :, None]  # (B, T, 1)
    return (hidden * weight).sum(1) / weight.sum(1)


class ClassificationHead(nn.Module):
    """Dropout and one linear layer, on [CLS] or on the mean over the real tokens.

    On [CLS] it follows google-research/electra, `finetune/classification/classification_tasks.py`.
    The mean suits models with little pre-training, whose [CLS] does not yet sum up a text.
    """

    def __init__(self, config: ModelConfig, num_labels: int) -> None:
        super().__init__()
        self.pooling = config.pooling
        self.dropout = Dropout(config.dropout)
        self.out = nn.Linear(config.hidden_size, num_labels)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """hidden and attention_mask as `pool` takes them -> logits (B, num_labels)."""
        return self.out(self.dropout(pool(hidden, attention_mask, self.pooling)))


class TokenHead(nn.Module):
    """Dropout and one linear layer on each token, for tags and for the ends of an answer."""

    def __init__(self, config: ModelConfig, num_labels: int) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.out = nn.Linear(config.hidden_size, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden (B, T, C) -> logits (B, T, num_labels)."""
        return self.out(self.dropout(hidden))
