"""One network in a downloaded folder, and the tokenizer of one or two folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from electra.data.tokenizer import Tokenizer
from electra.huggingface.config import NetworkConfig, network_config, read_config
from electra.huggingface.tensor_names import without_wrappers
from electra.huggingface.tokenizer_files import has_tokenizer, read_tokenizer
from electra.huggingface.weight_files import read_weights


class Network(NamedTuple):
    """What a folder holds. The tensors have their released names."""

    folder: Path
    kind: str  # "discriminator", "generator" or "bert"
    config: NetworkConfig
    tensors: dict[str, Tensor]


def read_networks(folders: list[Path]) -> list[Network]:
    """The networks in one folder, or in two: an ELECTRA's discriminator and generator.

    Raises ValueError for folders that cannot be read, and for two that are no such pair.
    """
    networks = [read_network(folder) for folder in folders]
    kinds = sorted(network.kind for network in networks)
    if len(networks) > 1 and kinds != ["discriminator", "generator"]:
        raise ValueError(
            "of two folders one must be an ELECTRA discriminator and one its generator, not "
            + " and ".join(f"{network.kind} ({network.folder})" for network in networks)
        )
    return networks


def read_network(folder: Path) -> Network:
    """Settings and weights of a folder, and which kind of network they are."""
    values = read_config(folder, lambda: _read_tensors(folder))
    config = network_config(values, str(folder))
    tensors = _read_tensors(folder)
    return Network(folder, _kind_of(values, tensors, folder), config, tensors)


def _read_tensors(folder: Path) -> dict[str, Tensor]:
    return without_wrappers(read_weights(folder), str(folder))


def _kind_of(values: dict[str, Any], tensors: dict[str, Tensor], folder: Path) -> str:
    if values["model_type"] == "bert":
        return "bert"
    heads = {name.split("_")[0] for name in tensors} & {"discriminator", "generator"}
    if len(heads) > 1:
        raise ValueError(
            f"{folder} holds the heads of a discriminator and of a generator; only one can be read"
        )
    if heads:
        return heads.pop()
    # An encoder without its head: config.json may say which network it belongs to.
    architectures = values.get("architectures")
    is_generator = isinstance(architectures, list) and "ElectraForMaskedLM" in architectures
    return "generator" if is_generator else "discriminator"


def read_common_tokenizer(networks: list[Network]) -> Tokenizer:
    """The one tokenizer of all networks; one folder of two may lack it.

    Raises ValueError where there is none, where two differ, and where one has more tokens than a
    network has embeddings.
    """
    folders = [network.folder for network in networks]
    found = [folder for folder in folders if has_tokenizer(folder)]
    tokenizers = [read_tokenizer(folder) for folder in found or folders[:1]]
    if len({tokenizer.fingerprint for tokenizer in tokenizers}) > 1:
        raise ValueError(
            f"{folders[0]} and {folders[1]} have different tokenizers: they are not of one "
            f"pre-training"
        )
    tokenizer = tokenizers[0]

    for network in networks:
        if tokenizer.vocab_size > network.config.vocab_size:
            raise ValueError(
                f"{network.folder}: the vocabulary has {tokenizer.vocab_size:,} tokens, more than "
                f"the embedding's {network.config.vocab_size:,} rows"
            )
    return tokenizer
