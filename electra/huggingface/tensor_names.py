"""Names of the tensors in released checkpoints, and the names here.

Three networks are known: "discriminator" and "generator" (an ELECTRA's) and "bert".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from electra.config import ModelConfig
from electra.huggingface.left_out import why_left_out

MAX_LISTED_NAMES = 12  # in a message
MAX_NAME_LENGTH = 120

_EMBEDDINGS = {
    "word.weight": "word_embeddings.weight",
    "position.weight": "position_embeddings.weight",
    "token_type.weight": "token_type_embeddings.weight",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
}
# Each has .weight and .bias. Where one name here has several there, the tensors are concatenated.
_LAYER = {
    "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.out": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "up": ("intermediate.dense",),
    "down": ("output.dense",),
    "output_norm": ("output.LayerNorm",),
}
_HEADS = {
    "discriminator": {
        "rtd_head.dense.weight": "discriminator_predictions.dense.weight",
        "rtd_head.dense.bias": "discriminator_predictions.dense.bias",
        "rtd_head.out.weight": "discriminator_predictions.dense_prediction.weight",
        "rtd_head.out.bias": "discriminator_predictions.dense_prediction.bias",
    },
    "generator": {
        "head.dense.weight": "generator_predictions.dense.weight",
        "head.dense.bias": "generator_predictions.dense.bias",
        "head.norm.weight": "generator_predictions.LayerNorm.weight",
        "head.norm.bias": "generator_predictions.LayerNorm.bias",
        "head.bias": "generator_lm_head.bias",
    },
    "bert": {
        "head.dense.weight": "cls.predictions.transform.dense.weight",
        "head.dense.bias": "cls.predictions.transform.dense.bias",
        "head.norm.weight": "cls.predictions.transform.LayerNorm.weight",
        "head.norm.bias": "cls.predictions.transform.LayerNorm.bias",
        "head.bias": "cls.predictions.bias",
    },
}
# The same tensor under a second name. Where a file has both, they must be equal: every model here
# ties its output table to its word embeddings.
_SECOND_NAMES = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "generator_lm_head.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
# Before every name in a file that was saved from a model inside torch's DataParallel or compile.
_WRAPPERS = ("module.", "_orig_mod.")
PREFIX = {"discriminator": "electra.", "generator": "electra.", "bert": "bert."}
# Of LayerNorms, in files that were converted from TensorFlow.
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}
_DESCRIPTIONS = {
    "discriminator": "an ELECTRA discriminator",
    "generator": "an ELECTRA generator",
    "bert": "a BERT",
}


class Prefixes(NamedTuple):
    """Where a network is among the weights of a model here."""

    encoder: str
    head: str | None  # None: the network has no head that a released checkpoint knows


def prefixes_of(network: str, objective: str) -> Prefixes:
    """The prefixes of a network in a model that is pre-trained with `objective`."""
    if network == "discriminator":
        return Prefixes("discriminator.", "")
    if objective == "electra":
        return Prefixes("generator.encoder.", "generator.")
    return Prefixes("mlm.encoder.", "mlm.")


def encoder_names(config: ModelConfig, prefix: str) -> dict[str, tuple[str, ...]]:
    """Name here -> names there, without their prefix, of embeddings and encoder.

    `prefix` is that of the encoder here.
    """
    names: dict[str, tuple[str, ...]] = {
        f"embeddings.{ours}": (f"embeddings.{theirs}",) for ours, theirs in _EMBEDDINGS.items()
    }
    if config.embedding_size != config.hidden_size:
        for end in ("weight", "bias"):
            names[f"{prefix}projection.{end}"] = (f"embeddings_project.{end}",)

    for number in range(config.num_layers):
        for ours, theirs in _LAYER.items():
            for end in ("weight", "bias"):
                names[f"{prefix}layers.{number}.{ours}.{end}"] = tuple(
                    f"encoder.layer.{number}.{part}.{end}" for part in theirs
                )
    return names


def head_names(network: str, prefix: str) -> dict[str, tuple[str, ...]]:
    """Name here -> name there, of a network's head; `prefix` is that of the head here."""
    return {prefix + ours: (theirs,) for ours, theirs in _HEADS[network].items()}


class ImportedWeights(NamedTuple):
    """One network's weights."""

    weights: dict[str, Tensor]  # by their names here, float32
    has_head: bool  # whether the network's head is among them
    left_out: dict[str, list[str]]  # what it is -> names of tensors that were not taken


def import_weights(
    tensors: dict[str, Tensor], network: str, config: ModelConfig, source: str
) -> ImportedWeights:
    """Rename the tensors of a released checkpoint.

    `config` is that of the network itself (a generator's is `ModelConfig.generator()`), and its
    objective says which model the network becomes a part of. Shapes are not checked here.

    Raises ValueError, with `source` and the names, for tensors that are missing, unexpected, not
    tied, or cannot be concatenated.
    """
    tensors, left_out = _merge_tied(_current_names(tensors, network, source), source)
    encoder_prefix, head_prefix = prefixes_of(network, config.objective)
    assert head_prefix is not None
    names, heads = encoder_names(config, encoder_prefix), head_names(network, head_prefix)
    has_head = any(parts[0] in tensors for parts in heads.values())
    if has_head:
        names |= heads

    has_projection = config.embedding_size != config.hidden_size
    for name in sorted(tensors):
        why = why_left_out(name, has_projection)
        if why is not None:
            left_out.setdefault(why, []).append(name)
            del tensors[name]
    _check_names(tensors, names, network, source)
    try:
        weights = {
            ours: torch.cat([tensors[name].float() for name in parts])
            for ours, parts in names.items()
        }
    except RuntimeError:
        raise ValueError(
            f"{source}: query, key and value of a layer have shapes that do not go together"
        ) from None
    return ImportedWeights(weights, has_head, left_out)


def without_wrappers(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """The names that the model itself gave, without those of what it was wrapped in.

    Raises ValueError as `_renamed` does.
    """

    def unwrap(name: str) -> str:
        while name.startswith(_WRAPPERS):
            name = name.split(".", 1)[1]
        return name

    return _renamed(tensors, unwrap, source)


def _current_names(tensors: dict[str, Tensor], network: str, source: str) -> dict[str, Tensor]:
    """Without the network's prefix, and with today's names of the weights of a LayerNorm."""

    def rename(name: str) -> str:
        name = name.removeprefix(PREFIX[network])
        for old, new in _OLD_ENDINGS.items():
            if name.endswith("LayerNorm" + old):
                name = name.removesuffix(old) + new
        return name

    return _renamed(tensors, rename, source)


def _renamed(
    tensors: dict[str, Tensor], rename: Callable[[str], str], source: str
) -> dict[str, Tensor]:
    """Raises ValueError where two different tensors get the same name."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        other = renamed.setdefault(rename(name), tensor)
        if other is not tensor and not _is_equal(other, tensor):
            raise ValueError(
                f"{source}: two different tensors are called {list_names([rename(name)])}, one of "
                f"them as {list_names([name])}"
            )
    return renamed


def _is_equal(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _merge_tied(
    tensors: dict[str, Tensor], source: str
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """(tensors without second names of tied ones, what was left out).

    Raises ValueError where the two differ.
    """
    merged = dict(tensors)
    left_out: dict[str, list[str]] = {}
    for second, first in _SECOND_NAMES.items():
        if second not in merged:
            continue
        tensor = merged.pop(second)
        if first in merged:
            left_out.setdefault("repetition of a tied tensor", []).append(second)
        if not torch.equal(merged.setdefault(first, tensor), tensor):
            raise ValueError(
                f"{source}: {second} differs from {first}; models with untied tables cannot be read"
            )
    return merged, left_out


def _check_names(
    tensors: dict[str, Tensor], names: dict[str, tuple[str, ...]], network: str, source: str
) -> None:
    """Raises ValueError that lists what is missing and what is unexpected."""
    wanted = {name for parts in names.values() for name in parts}
    missing = sorted(wanted - tensors.keys())
    unexpected = sorted(tensors.keys() - wanted)
    problems = []
    if missing:
        problems.append(f"missing: {list_names(missing)}")
    if unexpected:
        problems.append(f"no place for: {list_names(unexpected)}")
    if problems:
        raise ValueError(
            f"{source}: not the weights of {_DESCRIPTIONS[network]} of the shape in its "
            f"config.json; {'; '.join(problems)}"
        )


def list_names(names: list[str]) -> str:
    """The first few names, for a message of one line: a file may call its tensors anything."""
    shown = [
        (name if name.isprintable() else ascii(name))[:MAX_NAME_LENGTH]
        for name in names[:MAX_LISTED_NAMES]
    ]
    more = len(names) - MAX_LISTED_NAMES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def export_weights(
    weights: dict[str, Tensor], network: str, config: ModelConfig, prefixes: Prefixes
) -> dict[str, Tensor]:
    """The inverse of `import_weights`: one network's weights by their released names.

    `config` is that of the network itself. Without a head the names are those of a bare encoder,
    which have no prefix.
    """
    prefix = "" if prefixes.head is None else PREFIX[network]
    exported: dict[str, Tensor] = {}
    for ours, parts in encoder_names(config, prefixes.encoder).items():
        for name, tensor in zip(parts, weights[ours].chunk(len(parts)), strict=True):
            exported[prefix + name] = tensor.contiguous()
    if prefixes.head is not None:
        for ours, parts in head_names(network, prefixes.head).items():
            exported[parts[0]] = weights[ours]
    return exported
