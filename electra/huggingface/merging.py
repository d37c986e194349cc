"""One model of the networks that were read: its settings, and its weights by their names here."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from electra.config import SIZES, ModelConfig, SpecialIds, nearest_size, preset_model_config
from electra.huggingface.config import NetworkConfig
from electra.huggingface.network import Network
from electra.huggingface.tensor_names import import_weights

# Where no preset fits, a discriminator is so many times as wide as its generator (paper, section
# 3.2).
WIDTH_RATIO = 4
SEGMENTS = 2  # A and B: an example here may be a pair of texts
_TYPES = "embeddings.token_type.weight"
_SHARED_SETTINGS = (
    "vocab_size",
    "embedding_size",
    "max_positions",
    "type_vocab_size",
    "layer_norm_eps",
)


class NetworkSize(NamedTuple):
    """What tells a generator and its discriminator apart."""

    hidden_size: int
    num_layers: int
    num_heads: int


def size_of(config: NetworkConfig) -> NetworkSize:
    return NetworkSize(config.hidden_size, config.num_layers, config.num_heads)


def merged_config(
    networks: list[Network],
    special: SpecialIds,
    objective: str | None,
    partner: NetworkSize | None,
) -> ModelConfig:
    """The settings of the whole model.

    `objective` None: what the networks are; "mlm" reads a generator as a BERT. `partner` is the
    size of the new network beside an ELECTRA's that comes alone; None: `default_generator` or
    `default_discriminator`. `special` are the tokenizer's ids.

    Raises ValueError for an objective or a partner that does not go with the networks, and for two
    networks that cannot share their embeddings.
    """
    main = next((one for one in networks if one.kind == "discriminator"), networks[0])
    if main.kind == "bert" or (main.kind == "generator" and objective == "mlm"):
        if objective == "electra":
            raise ValueError(f"{main.folder} is a BERT; its weights do not make an ELECTRA")
        if partner:
            raise ValueError(f"--partner is for an ELECTRA; {main.folder} is read as a BERT")
        return _whole_config("mlm", main.config, size_of(main.config), special)
    if objective == "mlm":
        raise ValueError(
            f"{main.folder} is an ELECTRA discriminator; it has no masked-LM head to go on with as "
            f"a BERT"
        )

    if len(networks) == 2:
        if partner:
            raise ValueError("--partner is for an ELECTRA that comes alone")
        return _pair_config(networks, special)
    if main.kind == "discriminator":
        generator = partner or default_generator(main.config)
        return _whole_config("electra", main.config, generator, special)
    discriminator = partner or default_discriminator(main.config)
    wide = main.config._replace(
        **discriminator._asdict(), intermediate_size=4 * discriminator.hidden_size
    )
    config = _whole_config("electra", wide, size_of(main.config), special)
    return replace(config, generator_intermediate_size=main.config.intermediate_size)


def _pair_config(networks: list[Network], special: SpecialIds) -> ModelConfig:
    by_kind = {network.kind: network.config for network in networks}
    discriminator, generator = by_kind["discriminator"], by_kind["generator"]
    different = [
        f"{name} ({getattr(discriminator, name)}, {getattr(generator, name)})"
        for name in _SHARED_SETTINGS
        if getattr(discriminator, name) != getattr(generator, name)
    ]
    if different:
        raise ValueError(
            f"{networks[0].folder} and {networks[1].folder} cannot share their embeddings: they "
            f"differ in {', '.join(different)}"
        )
    config = _whole_config("electra", discriminator, size_of(generator), special)
    return replace(config, generator_intermediate_size=generator.intermediate_size)


def _whole_config(
    objective: str, network: NetworkConfig, generator: NetworkSize, special: SpecialIds
) -> ModelConfig:
    """`network` is the discriminator, or the BERT. Pooling is that of the nearest preset."""
    network = network._replace(type_vocab_size=max(SEGMENTS, network.type_vocab_size))
    config = ModelConfig(
        objective=objective,
        generator_hidden_size=generator.hidden_size,
        generator_num_layers=generator.num_layers,
        generator_num_heads=generator.num_heads,
        generator_intermediate_size=4 * generator.hidden_size,
        special=special,
        **network._asdict(),
    )
    return replace(config, pooling=_preset(nearest_size(config)).pooling)


def _preset(size: str) -> ModelConfig:
    return preset_model_config(size, "electra", SIZES[size].vocab_size)


def default_generator(discriminator: NetworkConfig) -> NetworkSize:
    """The size of the generator that the paper puts beside such a discriminator.

    That of the preset of this embedding size, hidden size and number of layers; where there is
    none, a quarter of the hidden size and of the heads.
    """
    wanted = (
        discriminator.embedding_size,
        discriminator.hidden_size,
        discriminator.num_layers,
    )
    for preset in map(_preset, SIZES):
        if (preset.embedding_size, preset.hidden_size, preset.num_layers) == wanted:
            return NetworkSize(
                preset.generator_hidden_size,
                preset.generator_num_layers,
                preset.generator_num_heads,
            )
    heads = max(1, discriminator.num_heads // WIDTH_RATIO)
    head_size = max(1, discriminator.hidden_size // WIDTH_RATIO // heads)
    return NetworkSize(head_size * heads, discriminator.num_layers, heads)


def default_discriminator(generator: NetworkConfig) -> NetworkSize:
    """The inverse of `default_generator`."""
    wanted = (generator.embedding_size, generator.hidden_size, generator.num_layers)
    for preset in map(_preset, SIZES):
        if (
            preset.embedding_size,
            preset.generator_hidden_size,
            preset.generator_num_layers,
        ) == wanted:
            return NetworkSize(preset.hidden_size, preset.num_layers, preset.num_heads)
    return NetworkSize(
        generator.hidden_size * WIDTH_RATIO,
        generator.num_layers,
        generator.num_heads * WIDTH_RATIO,
    )


class MergedWeights(NamedTuple):
    """The weights of the whole model."""

    weights: dict[str, Tensor]  # by their names here
    with_head: set[str]  # the kinds of the networks that brought their head
    left_out: dict[str, dict[str, list[str]]]  # kind -> what it is -> names of its tensors


def merge_weights(networks: list[Network], config: ModelConfig) -> MergedWeights:
    """The weights of all networks.

    Where a network knows one segment only, B gets a copy of A's embedding: then a pair computes
    what `transformers` computes, which has segment A everywhere.

    Raises ValueError where two networks have embeddings of their own, and as `import_weights`
    does.
    """
    merged = MergedWeights({}, set(), {})
    for network in networks:
        is_generator = network.kind == "generator" and config.objective == "electra"
        own_config = config.generator() if is_generator else config
        weights, has_head, left_out = import_weights(
            network.tensors, network.kind, own_config, str(network.folder)
        )
        merged.left_out[network.kind] = left_out
        if has_head:
            merged.with_head.add(network.kind)
        if network.config.type_vocab_size == 1 and len(weights[_TYPES]) == 1:
            weights[_TYPES] = weights[_TYPES].repeat(SEGMENTS, 1)

        # What two networks have in common are the embeddings.
        for name in sorted(weights.keys() & merged.weights.keys()):
            if not torch.equal(weights[name], merged.weights[name]):
                raise ValueError(
                    f"{networks[0].folder} and {networks[1].folder} differ in {name}: an ELECTRA "
                    f"shares its embeddings, so these two are not of one pre-training; import one "
                    f"of them alone"
                )
        merged.weights.update(weights)
    return merged
