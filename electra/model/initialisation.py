"""How the weights of a whole model start."""

from __future__ import annotations

import torch
from torch import nn

from electra.config import ModelConfig
from electra.model.encoder import Encoder, init_weights
from electra.model.neighbours import look_at_neighbours, sinusoidal_positions


def initialise(
    model: nn.Module, config: ModelConfig, networks: list[tuple[Encoder, ModelConfig]]
) -> None:
    """First values: see the table in encoder.py. None for a skeleton, whose weights are to come."""
    if model.embeddings.word.weight.is_meta:
        return
    model.apply(lambda module: init_weights(module, config.initializer_range))
    if config.attention_init == "neighbours":
        embeddings = model.embeddings
        with torch.no_grad():
            embeddings.position.weight.copy_(
                sinusoidal_positions(
                    config.max_positions, config.embedding_size, config.initializer_range
                )
            )
        generator = torch.Generator().manual_seed(0)
        for encoder, shape in networks:
            look_at_neighbours(encoder, embeddings, shape, generator)
