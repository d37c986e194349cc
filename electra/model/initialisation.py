"""How the weights of a model are initialised, by the setting `attention_init`.

                                  usual                     neighbours
    word and type embeddings      truncated normal          truncated normal
    position embeddings           truncated normal          sinusoids
    projection to hidden size     truncated normal          + identity on the leading dimensions
    queries and keys              truncated normal          + copies of the neighbours' positions
    what a layer adds to x        truncated normal          * √(2 / layers), where there are over 2
    all other matrices            truncated normal          truncated normal
    biases                        0                         0
    LayerNorm                     scale 1, shift 0          scale 1, shift 0

The truncated normal has the standard deviation `initializer_range`, 0.02, and is cut at two of
them. The sinusoids have the same standard deviation. neighbours.py explains its column. Only the
initialisation differs: what is trained and saved is plain ELECTRA or BERT.
"""

from __future__ import annotations

import torch
from torch import nn

from electra.model.encoder import Encoder
from electra.model.neighbours import look_at_neighbours, sinusoidal_positions
from electra.model.trainable import TrainableModel


def initialise(model: TrainableModel, encoders: list[Encoder]) -> None:
    """Initialise a model in place, as the table above says. `encoders` are all that it has.

    On the device "meta" it does nothing: that model gets its weights from elsewhere.
    """
    config, embeddings = model.config, model.embeddings
    if embeddings.word.weight.is_meta:
        return

    for module in model.modules():
        _initialise_usual(module, config.initializer_range)

    if config.attention_init == "neighbours":
        positions = sinusoidal_positions(
            config.max_positions, config.embedding_size, config.initializer_range
        )
        with torch.no_grad():
            embeddings.position.weight.copy_(positions)

        generator = torch.Generator().manual_seed(0)
        for encoder in encoders:
            look_at_neighbours(encoder, embeddings, generator)


def _initialise_usual(module: nn.Module, std: float) -> None:
    """Matrices from a truncated normal, biases 0. A LayerNorm is made with scale 1 and shift 0."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
