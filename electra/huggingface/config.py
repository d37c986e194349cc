"""config.json of a released checkpoint, and the one that is written for an export."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

from electra.config import LARGEST_SIZE, MOST_LAYERS, ModelConfig
from electra.huggingface.json_files import read_json
from electra.huggingface.tensor_names import PREFIX


class NetworkConfig(NamedTuple):
    """What config.json says of one network; the names are those of `ModelConfig`."""

    vocab_size: int
    embedding_size: int
    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    max_positions: int
    type_vocab_size: int
    dropout: float
    attention_dropout: float
    layer_norm_eps: float
    initializer_range: float


# Name here -> name in config.json. A BERT's embedding_size is its hidden_size.
_SETTINGS = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "type_vocab_size": "type_vocab_size",
    "dropout": "hidden_dropout_prob",
    "attention_dropout": "attention_probs_dropout_prob",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
}
_FRACTIONS = ("dropout", "attention_dropout", "layer_norm_eps", "initializer_range")
# What the classes of transformers take where config.json leaves a setting out.
_THEIR_DEFAULTS = {
    "embedding_size": 128,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}
_RANGES = {
    "num_layers": (1, MOST_LAYERS),
}
# Settings with which the same weights would be another network; None: may be absent.
_REQUIRED_VALUES = {
    "hidden_act": ("gelu", None),
    "position_embedding_type": ("absolute", None),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}
_ARCHITECTURES = {
    "discriminator": "ElectraForPreTraining",
    "generator": "ElectraForMaskedLM",
    "bert": "BertForMaskedLM",
}
_ENCODER_ARCHITECTURES = {"electra": "ElectraModel", "bert": "BertModel"}
# Where config.json has no model_type: the names of classes, and the beginnings of tensors' names.
_CLASSES = {"electra": r"Electra(Model|For\w+)", "bert": r"Bert(Model|LMHeadModel|For\w+)"}
_BEGINNINGS = {
    "electra": (
        *("electra.", "embeddings_project."),
        *("discriminator_predictions.", "generator_predictions."),
    ),
    "bert": ("bert.", "cls.", "embeddings.word_embeddings."),
}


def read_config(
    folder: Path, tensor_names: Callable[[], Collection[str]] = tuple
) -> dict[str, Any]:
    """`config.json` of a folder, with its model_type, which old files lack.

    `tensor_names` are those of the weights; it is called where config.json does not tell what they
    are. Raises ValueError where there is no such file, or it is of a network that cannot be read
    here.
    """
    path = folder / "config.json"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give the one with config.json and the weights")
    if not path.is_file():
        raise ValueError(
            f"{folder} has no config.json; it is not a checkpoint of the Hugging Face layout"
        )
    values = read_json(path)

    model_type = values.get("model_type")
    if model_type is None:
        model_type = _guess_model_type(values, tensor_names)
    if model_type not in tuple(_ENCODER_ARCHITECTURES):
        raise ValueError(
            f"{path}: model_type is {model_type!r:.60}; only electra and bert can be read"
        )
    for name, allowed in _REQUIRED_VALUES.items():
        if values.get(name) not in allowed:
            raise ValueError(
                f"{path}: {name} is {values.get(name)!r}; only {allowed[0]!r} is known here"
            )
    return {**values, "model_type": model_type}


def _guess_model_type(
    values: dict[str, Any], tensor_names: Callable[[], Collection[str]]
) -> str | None:
    """By the architectures in config.json, and without them by the names of the tensors.

    Architectures of another network are the answer themselves; None: the names tell nothing. An
    encoder alone, without prefix, is a BERT, unless it has ELECTRA's projection.
    """
    architectures = values.get("architectures")
    if isinstance(architectures, list) and architectures:
        name = str(architectures[0])
        known = (kind for kind, classes in _CLASSES.items() if re.fullmatch(classes, name))
        return next(known, name)

    names = tensor_names()
    for kind, beginnings in _BEGINNINGS.items():
        if any(name.startswith(beginnings) for name in names):
            return kind
    return None


def network_config(values: dict[str, Any], source: str) -> NetworkConfig:
    """The settings in a config.json's `values`.

    Raises ValueError, with the folder `source`, for one that is missing, no number, or out of
    range.
    """
    names = dict(_SETTINGS)
    names["embedding_size"] = (
        "embedding_size" if values["model_type"] == "electra" else "hidden_size"
    )
    config = NetworkConfig(
        **{ours: _read_setting(values, ours, theirs, source) for ours, theirs in names.items()}
    )

    if config.hidden_size % config.num_heads:
        raise ValueError(
            f"{source}/config.json: hidden_size {config.hidden_size} does not divide by "
            f"{config.num_heads} heads"
        )
    if config.initializer_range == 0:
        raise ValueError(
            f"{source}/config.json: initializer_range is 0, and a model of zeros does not learn"
        )
    return config


def _read_setting(values: dict[str, Any], ours: str, theirs: str, source: str) -> Any:
    value: Any = values.get(theirs, _THEIR_DEFAULTS.get(theirs))
    if ours in _FRACTIONS:
        # nan fails the comparison.
        is_valid = type(value) in (int, float) and 0 <= value < 1
        wanted = "from 0 to below 1"
    else:
        low, high = _RANGES.get(ours, (1, LARGEST_SIZE))
        is_valid = type(value) is int and low <= value <= high
        wanted = f"a whole number from {low} to {high:,}"

    if not is_valid:
        raise ValueError(f"{source}/config.json: {theirs} is {value!r:.60}, not {wanted}")
    return value


def export_config(config: ModelConfig, network: str, bare: bool) -> dict[str, Any]:
    """The values of a config.json. `config` is the network's own; `bare`: its encoder alone."""
    model_type = PREFIX[network].rstrip(".")
    architecture = _ENCODER_ARCHITECTURES[model_type] if bare else _ARCHITECTURES[network]
    values: dict[str, Any] = {"architectures": [architecture], "model_type": model_type}
    values |= {theirs: getattr(config, ours) for ours, theirs in _SETTINGS.items()}
    if model_type == "electra":
        values["embedding_size"] = config.embedding_size
    return values | {
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": config.special.pad,
        "torch_dtype": "float32",
    }
