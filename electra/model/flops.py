"""Floating-point operations that a model needs, counted from its sizes.

Two operations are counted for each multiply-add of a matrix product. Nothing else is counted, and
padding needs none.

Letters: E embedding size, C hidden size, I feed-forward size, V vocabulary size.
"""

from __future__ import annotations

import numpy as np

from electra.config import ModelConfig


def encoder_flops(config: ModelConfig, lengths: np.ndarray) -> float:
    """Operations of one forward pass of the encoder over examples of these lengths, (n,) int.

    They are the projection of the embeddings and, in each layer, four C * C products, two C * I
    products, and two products of the attention, which grow with the square of the length.
    """
    E, C, I = config.embedding_size, config.hidden_size, config.intermediate_size  # noqa: E741
    projection = 2 * E * C if E != C else 0
    per_token = projection + config.num_layers * (2 * 4 * C * C + 2 * 2 * C * I)

    squares = (lengths.astype(np.float64) ** 2).sum()
    return float(per_token * lengths.sum() + config.num_layers * 2 * 2 * C * squares)


def pretraining_flops(config: ModelConfig, mask_prob: float, lengths: np.ndarray) -> float:
    """Operations of one pre-training step over examples of these lengths, (n,) int.

    The heads are included, and the head of the masked LM runs on `mask_prob` of the tokens alone.
    The backward pass costs twice the forward pass.
    """
    E, C, V = config.embedding_size, config.hidden_size, config.vocab_size
    tokens = float(lengths.sum())

    def lm_head(hidden_size: int) -> float:
        return mask_prob * tokens * 2 * (hidden_size * E + E * V)

    if config.objective == "mlm":
        return 3 * (encoder_flops(config, lengths) + lm_head(C))

    generator = encoder_flops(config.generator(), lengths) + lm_head(config.generator_hidden_size)
    discriminator = encoder_flops(config, lengths) + tokens * 2 * (C * C + C)
    return 3 * (generator + discriminator)
