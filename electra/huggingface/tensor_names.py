"""Names of tensors in released checkpoints, and ours."""

from __future__ import annotations

import torch
from torch import Tensor

from electra.config import ModelConfig

# --- names ---

_EMBEDDINGS = {
    "word.weight": "word_embeddings.weight",
    "position.weight": "position_embeddings.weight",
    "token_type.weight": "token_type_embeddings.weight",
    "norm.weight": "LayerNorm.weight",
    "norm.bias": "LayerNorm.bias",
}
# Each with .weight and .bias; several of theirs make one of ours, one below the other.
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
# What is in their files and has no place here: a table of 0, 1, 2, …; next-sentence prediction and what feeds it.
_IGNORED = {
    "embeddings.position_ids",
    "pooler.dense.weight",
    "pooler.dense.bias",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
}
# The same tensor under a second name. Where both are there, they must be equal: no model here has untied tables.
_SECOND_NAMES = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "generator_lm_head.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
_PREFIX = {"discriminator": "electra.", "generator": "electra.", "bert": "bert."}
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}  # of LayerNorms, in files from TensorFlow


def place_of(network: str, objective: str) -> tuple[str, str]:
    """Where a network lives in the weights of a model of ours: (its encoder's prefix, its head's prefix)."""
    if network == "discriminator":
        return "discriminator.", ""
    return (
        ("generator.encoder.", "generator.") if objective == "electra" else ("mlm.encoder.", "mlm.")
    )


def encoder_names(config: ModelConfig, prefix: str) -> dict[str, tuple[str, ...]]:
    """Our name -> theirs, without their prefix: embeddings and encoder; `prefix` is our encoder's."""
    names = {
        f"embeddings.{ours}": (f"embeddings.{theirs}",) for ours, theirs in _EMBEDDINGS.items()
    }
    if config.embedding_size != config.hidden_size:
        names |= {
            f"{prefix}projection.{end}": (f"embeddings_project.{end}",)
            for end in ("weight", "bias")
        }
    for number in range(config.num_layers):
        for ours, theirs in _LAYER.items():
            for end in ("weight", "bias"):
                names[f"{prefix}layers.{number}.{ours}.{end}"] = tuple(
                    f"encoder.layer.{number}.{part}.{end}" for part in theirs
                )
    return names


def head_names(network: str, prefix: str) -> dict[str, tuple[str, ...]]:
    """Our name -> theirs: the head of a network."""
    return {prefix + ours: (theirs,) for ours, theirs in _HEADS[network].items()}


def import_weights(
    tensors: dict[str, Tensor], network: str, config: ModelConfig, source: str
) -> tuple[dict[str, Tensor], bool]:
    """Their weights under our names, float32, and whether the network's head is among them.

    `config` is that of the network itself (a generator's is `ModelConfig.generator()`); its objective says where the
    network goes. Raises ValueError, naming them, for tensors that are missing, have no place, or are not tied.
    Shapes are checked by whoever loads the result.
    """
    theirs: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = name.removeprefix(_PREFIX[network])
        for old, new in _OLD_ENDINGS.items():
            if name.endswith("LayerNorm" + old):
                name = name.removesuffix(old) + new
        theirs[name] = tensor
    for second, first in _SECOND_NAMES.items():
        if second in theirs:
            other = theirs.setdefault(first, theirs[second])
            if not torch.equal(other, theirs.pop(second)):
                raise ValueError(
                    f"{source}: {second} differs from {first}; models with untied tables cannot be read"
                )
    encoder, head = place_of(network, config.objective)
    names = encoder_names(config, encoder)
    heads = head_names(network, head)
    has_head = any(theirs_[0] in theirs for theirs_ in heads.values())
    if has_head:
        names |= heads
    wanted = {name for parts in names.values() for name in parts}
    missing, unexpected = sorted(wanted - set(theirs)), sorted(set(theirs) - wanted - _IGNORED)
    if missing or unexpected:
        raise ValueError(
            f"{source}: not the weights of {_article(network)} of the shape in its config.json; "
            + "; ".join(
                f"{what}: {_listed(names_)}"
                for what, names_ in (("missing", missing), ("no place for", unexpected))
                if names_
            )
        )
    try:
        return {
            ours: torch.cat([theirs[name].float() for name in parts])
            for ours, parts in names.items()
        }, has_head
    except RuntimeError:
        raise ValueError(
            f"{source}: query, key and value of a layer have shapes that do not go together"
        ) from None


def export_weights(
    state: dict[str, Tensor], network: str, config: ModelConfig, encoder: str, head: str | None
) -> dict[str, Tensor]:
    """The inverse: weights of a model of ours -> their names. `encoder` and `head` are our prefixes; without a head the
    names are those of a bare encoder."""
    prefix = _PREFIX[network] if head is not None else ""
    result: dict[str, Tensor] = {}
    for ours, parts in encoder_names(config, encoder).items():
        for name, tensor in zip(parts, state[ours].chunk(len(parts))):
            result[prefix + name] = tensor.contiguous()
    if head is not None:
        result |= {parts[0]: state[ours] for ours, parts in head_names(network, head).items()}
    return result


def _article(network: str) -> str:
    return {
        "discriminator": "an ELECTRA discriminator",
        "generator": "an ELECTRA generator",
        "bert": "a BERT",
    }[network]


def _listed(names: list[str], most: int = 12) -> str:
    """For messages: one line, whatever a stranger's file calls its tensors."""
    shown = [(name if name.isprintable() else ascii(name))[:120] for name in names[:most]]
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")
