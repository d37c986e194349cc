"""config.json of a released checkpoint, and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from electra.config import LARGEST_SIZE, MOST_LAYERS, ModelConfig
from electra.huggingface.json_files import read_json
from electra.huggingface.tensor_names import _PREFIX

# --- settings ---

# ours: theirs, in config.json
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
# What their classes take where config.json leaves a setting out.
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
    "type_vocab_size": (2, LARGEST_SIZE),
}  # an example has segments A and B
# Settings that would make another network of the same weights; None: may be absent.
_MUST_BE = {
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
_BARE = {"electra": "ElectraModel", "bert": "BertModel"}


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a folder, if it is of an ELECTRA or a BERT that can be read. Raises ValueError otherwise."""
    path = folder / "config.json"
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder; give the one with config.json and the weights")
    if not path.is_file():
        raise ValueError(
            f"{folder} has no config.json; it is not a checkpoint of the Hugging Face layout"
        )
    values = read_json(path)
    kind = values.get("model_type")
    if kind not in tuple(_BARE):
        raise ValueError(f"{path}: model_type is {kind!r}; only electra and bert can be read")
    for name, allowed in _MUST_BE.items():
        if values.get(name) not in allowed:
            raise ValueError(
                f"{path}: {name} is {values.get(name)!r}; only {allowed[0]!r} is known here"
            )
    return values


def shape_of(values: dict[str, Any], source: str) -> dict[str, Any]:
    """The fields of `ModelConfig` that a config.json tells. Raises ValueError naming what is missing or no number."""
    shape: dict[str, Any] = {}
    embedding = {
        "embedding_size": "embedding_size" if values["model_type"] == "electra" else "hidden_size"
    }
    for ours, theirs in (_SETTINGS | embedding).items():
        value = values.get(theirs, _THEIR_DEFAULTS.get(theirs))
        whole = isinstance(getattr(ModelConfig, ours, 1), int)
        least, most = _RANGES.get(ours, (1, LARGEST_SIZE))
        good = (
            isinstance(value, int if whole else (int, float))
            and not isinstance(value, bool)
            and (least <= value <= most if whole else 0 <= value < 1)
        )  # not: nan is neither
        if not good:
            raise ValueError(
                f"{source}/config.json: {theirs} is {value!r:.60}, not "
                + (f"a whole number from {least} to {most:,}" if whole else "from 0 to below 1")
            )
        shape[ours] = value
    if shape["hidden_size"] % shape["num_heads"]:
        raise ValueError(
            f"{source}/config.json: hidden_size {shape['hidden_size']} does not divide by "
            f"{shape['num_heads']} heads"
        )
    if shape["initializer_range"] == 0:
        raise ValueError(
            f"{source}/config.json: initializer_range is 0, and a model of zeros does not learn"
        )
    return shape


def export_config(config: ModelConfig, network: str, bare: bool) -> dict[str, Any]:
    """config.json of a network; `bare`: of its encoder alone. `config` is the network's own."""
    kind = _PREFIX[network].rstrip(".")
    values = {
        "architectures": [_BARE[kind] if bare else _ARCHITECTURES[network]],
        "model_type": kind,
    }
    values |= {theirs: getattr(config, ours) for ours, theirs in _SETTINGS.items()}
    if kind == "electra":
        values["embedding_size"] = config.embedding_size
    return values | {
        "hidden_act": "gelu",
        "position_embedding_type": "absolute",
        "pad_token_id": config.special.pad,
        "torch_dtype": "float32",
    }
