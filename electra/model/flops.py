"""Floating-point operations that a model needs, counted from its sizes.

Two operations are counted for each multiply-add of a matrix product. Nothing else is counted, and
padding needs none.

Letters: E embedding size, C hidden size, I feed-forward size, V vocabulary size.
"""

from __future__ import annotations

import numpy as np

from electra.config import ModelConfig


def encoder_flops(config: ModelConfig, lengths: np.ndarray, first_alone: bool = False) -> float:
    """Operations of one forward pass of the encoder over examples of these lengths, (n,) int.

    They are the projection of the embeddings and, in each layer, four C * C products, two C * I
    products, and two products of the attention, which grow with the square of the length.
    first_alone: the last layer makes keys and values of all tokens, and the rest of [CLS] alone.
    """
    E, C, I = config.embedding_size, config.hidden_size, config.intermediate_size  # noqa: E741
    projection = 2 * E * C if E != C else 0
    layers = config.num_layers - first_alone  # that are computed whole
    per_token = projection + layers * (2 * 4 * C * C + 2 * 2 * C * I)

    tokens, squares = lengths.sum(), (lengths.astype(np.float64) ** 2).sum()
    whole = float(per_token * tokens + layers * 2 * 2 * C * squares)
    if not first_alone:
        return whole
    per_row = 2 * 2 * C * C + 2 * 2 * C * I
    return whole + float(2 * 2 * C * C * tokens + 2 * 2 * C * tokens + per_row * len(lengths))


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
