"""Downloaded folders -> one checkpoint that train.py and finetune.py start from."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from electra.checkpoint.checkpoint import make_checkpoint
from electra.checkpoint.next_command import next_command
from electra.checkpoint.storage import save_checkpoint
from electra.config import SIZES, ModelConfig, Origin, PretrainConfig, nearest_size
from electra.data.tokenizer import Tokenizer
from electra.huggingface.importing_fine_tuned import (
    FineTuned,
    OtherHead,
    describe_fine_tuned,
    fine_tuned_config,
    fine_tuned_weights,
    make_fine_tuned,
    read_fine_tuned,
)
from electra.huggingface.merging import NetworkSize, merge_weights, merged_config
from electra.huggingface.network import Network, read_common_tokenizer, read_networks
from electra.huggingface.tensor_names import list_names
from electra.model.bert import BertMLM
from electra.model.build import build, build_on_meta
from electra.model.electra import Electra

MAX_LISTED_SHAPES = 8  # in a message
MAX_LISTED_LEFT_OUT = 4  # names of tensors of one kind, in a message


def import_checkpoint(
    folders: list[Path],
    out: Path,
    objective: str | None = None,
    partner: NetworkSize | None = None,
    encoder_only: bool = False,
) -> list[str]:
    """Read one or two folders, complete the model and save it. Returns what to tell the user.

    A fine-tuned model stays one where its head can be ours, unless `objective`, `partner` or
    `encoder_only` ask for a pre-trained one; the first two as in `merged_config`.

    Raises ValueError for folders that cannot be read or do not go together, and where `out` exists
    or cannot be written.
    """
    if out.exists():
        raise ValueError(f"{out} is already there; remove it or choose another --out")
    networks = read_networks(folders)
    tokenizer = read_common_tokenizer(networks)

    found = None
    if len(networks) == 1 and not (objective or partner or encoder_only):
        found = read_fine_tuned(networks[0])
    if isinstance(found, FineTuned):
        return _import_fine_tuned(found, tokenizer, out)
    notes = _import_pretrained(networks, tokenizer, out, objective, partner)
    return [*_describe_other_head(found), *notes]


def _import_fine_tuned(found: FineTuned, tokenizer: Tokenizer, out: Path) -> list[str]:
    networks = [found.encoder]
    config = fine_tuned_config(merged_config(networks, tokenizer.special, None, None))
    merged = merge_weights(networks, config)
    weights = fine_tuned_weights(found, merged.weights, config.objective)

    wanted = build_on_meta(lambda config: make_fine_tuned(found, config), config).state_dict()
    _check_shapes(weights, wanted, networks)
    model = make_fine_tuned(found, config)
    model.load_state_dict(weights)

    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = replace(
        make_checkpoint(model, tokenizer, found.task.settings),
        labels=found.labels,
        pairs=found.task.pairs,
        scale=1.0 if found.is_regression else None,
        thresholds=found.thresholds,
        origin=Origin(imported=True),
    )
    save_checkpoint(out, checkpoint)
    return [
        f"{_describe_size(found.encoder)}, {describe_fine_tuned(found)}",
        *_describe_left_out(merged.left_out),
        *_describe_segments(networks),
        *_describe_unused_rows(tokenizer.vocab_size, config.vocab_size),
        f"{out} is written. Next:",
        f"  {next_command(out, checkpoint.kind, checkpoint.pairs)}",
    ]


def _import_pretrained(
    networks: list[Network],
    tokenizer: Tokenizer,
    out: Path,
    objective: str | None,
    partner: NetworkSize | None,
) -> list[str]:
    config = merged_config(networks, tokenizer.special, objective, partner)
    merged = merge_weights(networks, config)

    model = _complete_model(config, merged.weights, networks)
    settings = PretrainConfig(
        corpus=(),
        seq_len=config.max_positions,
        size=nearest_size(config),
        objective=config.objective,
        vocab_size=config.vocab_size,
        dropout=config.dropout,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = make_checkpoint(model, tokenizer, settings)
    save_checkpoint(out, replace(checkpoint, origin=Origin(imported=True)))
    return [
        *_describe_networks(networks, merged.with_head, config),
        *_describe_left_out(merged.left_out),
        *_describe_segments(networks),
        *_describe_unused_rows(tokenizer.vocab_size, config.vocab_size),
        f"{out} is written. Next:",
        f"  python train.py --init {shlex.quote(str(out))} --corpus YOUR_TEXT",
        f"  python finetune.py --task imdb --init {shlex.quote(str(out))}",
    ]


def _complete_model(
    config: ModelConfig, weights: dict[str, Tensor], networks: list[Network]
) -> Electra | BertMLM:
    """A model with these weights; the parts that they lack are initialised, always alike."""
    mask_prob = SIZES[nearest_size(config)].mask_prob

    # The sizes come from a file of others: they are compared before anything is allocated.
    wanted = build_on_meta(lambda config: build(config, mask_prob), config).state_dict()
    _check_shapes(weights, wanted, networks)

    torch.manual_seed(0)
    model = build(config, mask_prob)
    model.load_state_dict({**model.state_dict(), **weights})
    return model


def _check_shapes(
    weights: dict[str, Tensor], wanted: dict[str, Tensor], networks: list[Network]
) -> None:
    """Raises ValueError that lists the tensors whose shape is not the wanted one."""
    wrong = [
        f"{name} {tuple(tensor.shape)}, not {tuple(wanted[name].shape)}"
        for name, tensor in sorted(weights.items())
        if tensor.shape != wanted[name].shape
    ]
    if wrong:
        more = len(wrong) - MAX_LISTED_SHAPES
        raise ValueError(
            f"{', '.join(str(network.folder) for network in networks)}: shapes do not fit "
            f"config.json: {'; '.join(wrong[:MAX_LISTED_SHAPES])}"
            + (f"; and {more} more" if more > 0 else "")
        )


def _describe_other_head(found: OtherHead | None) -> list[str]:
    if found is None:
        return []
    return [f"only the encoder is read: {found.why}"]


def _describe_size(network: Network) -> str:
    config = network.config
    return (
        f"{network.kind}: {network.folder}, hidden size {config.hidden_size} × "
        f"{config.num_layers} layers"
    )


def _describe_networks(
    networks: list[Network], with_head: set[str], config: ModelConfig
) -> list[str]:
    lines = []
    for network in networks:
        line = _describe_size(network)
        if network.kind not in with_head:
            line += "; it came without its head, so the head is new"
        lines.append(line)

    if config.objective == "electra" and len(networks) == 1:
        if networks[0].kind == "discriminator":
            new, other = "generator", "discriminator"
            hidden, layers = config.generator_hidden_size, config.generator_num_layers
        else:
            new, other = "discriminator", "generator"
            hidden, layers = config.hidden_size, config.num_layers
        lines.append(
            f"{new}: new, hidden size {hidden} × {layers} layers, sharing the {other}'s embeddings"
        )
    return lines


def _describe_left_out(left_out: dict[str, dict[str, list[str]]]) -> list[str]:
    """One line about all tensors that were not taken; none where there are none."""
    parts = [
        f"{what} of the {kind} ({_count_names(names)})"
        for kind, by_description in left_out.items()
        for what, names in by_description.items()
    ]
    return [f"left out, as no model here uses it: {', '.join(parts)}"] if parts else []


def _count_names(names: list[str]) -> str:
    """The names, or how many there are."""
    few = len(names) <= MAX_LISTED_LEFT_OUT
    return list_names(names) if few else f"{len(names)} tensors"


def _describe_segments(networks: list[Network]) -> list[str]:
    if all(network.config.type_vocab_size > 1 for network in networks):
        return []
    return ["segments: the network knows one; the second text of a pair gets the same embedding"]


def _describe_unused_rows(tokens: int, rows: int) -> list[str]:
    if tokens == rows:
        return []
    return [
        f"vocabulary: {tokens:,} tokens; the embedding's other {rows - tokens:,} rows stay unused"
    ]
