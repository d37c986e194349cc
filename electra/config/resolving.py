"""What the settings of a pre-training come to: which flags go together, and what is filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from electra.config.defaults import continue_defaults
from electra.config.model import (
    SIZES,
    ModelConfig,
    SpecialIds,
    nearest_size,
    preset_model_config,
)
from electra.config.options import flag_of
from electra.config.pretraining import PretrainConfig

# Settings that a model config has under the same name.
FROM_MODEL = (
    *("objective", "hidden_size", "num_layers", "num_heads", "intermediate_size"),
    *("embedding_size", "max_positions", "generator_num_layers", "generator_num_heads"),
    *("dropout", "attention_dropout", "attention_init"),
)
SHAPE_FLAGS = {*FROM_MODEL, "generator_size"} - {"objective", "dropout", "attention_dropout"}
GENERATOR_FLAGS = {"generator_size", "generator_num_layers", "generator_num_heads"}
ELECTRA_FLAGS = {*GENERATOR_FLAGS, "rtd_weight", "temperature"}


def check_pretrain_flags(config: PretrainConfig, given: set[str]) -> None:
    """Raise ValueError for flags of a new run that do not go together; `given` are those typed."""
    of_checkpoint = {"tokenizer", "vocab_size", "cased", "size", *SHAPE_FLAGS}
    if "objective" in given and config.objective == "electra":
        of_checkpoint -= GENERATOR_FLAGS  # a BERT may become an ELECTRA
    if config.init:
        check_init_flags(given & of_checkpoint)
    if len(given & {"steps", "minutes", "epochs"}) > 1:
        raise ValueError("of --steps, --minutes and --epochs give one")
    if config.interleave and not config.phases:
        raise ValueError(
            "--interleave needs the lengths to draw from: --phases, e.g. 64:0.8,512:0.2"
        )


def check_init_flags(clash: set[str]) -> None:
    """Raise ValueError for flags, if any, that --init takes from the checkpoint."""
    if clash:
        raise ValueError(
            f"{flag_of(min(clash))} cannot be chosen with --init: it comes with the checkpoint"
        )


def check_objective_flags(objective: str, given: set[str]) -> None:
    """Raise ValueError for a flag that was typed and that BERT does not read."""
    unread = sorted(given & ELECTRA_FLAGS)
    if objective == "mlm" and unread:
        raise ValueError(f"{flag_of(unread[0])} is for ELECTRA, not for objective mlm")


def chosen_model_config(
    config: PretrainConfig, vocab_size: int, special: SpecialIds
) -> ModelConfig:
    """The model that the settings describe: the preset of --size, with what differs from it.

    What is left open follows the rest in the preset's proportions. Raises ValueError for sizes that
    do not go together.
    """
    preset = preset_model_config(
        *(config.size, config.objective, vocab_size),
        *(config.dropout, config.attention_init, special),
    )
    hidden_size = config.hidden_size or preset.hidden_size
    embedding_size = preset.embedding_size
    if embedding_size == preset.hidden_size:  # base and large: no projection in between
        embedding_size = hidden_size
    return replace(
        preset,
        hidden_size=hidden_size,
        num_layers=config.num_layers or preset.num_layers,
        num_heads=config.num_heads or preset.num_heads,
        intermediate_size=config.intermediate_size or 4 * hidden_size,
        embedding_size=config.embedding_size or embedding_size,
        max_positions=config.max_positions or preset.max_positions,
        attention_dropout=(
            preset.dropout if config.attention_dropout is None else config.attention_dropout
        ),
        **_generator(config, preset, hidden_size),
    )


def electra_from_bert(config: PretrainConfig, bert: ModelConfig) -> ModelConfig:
    """The ELECTRA whose discriminator has the sizes of a BERT, and the generator of the settings.

    What is left open of the generator is in proportion as in the preset nearest to the BERT.
    """
    preset = preset_model_config(nearest_size(bert), "electra", bert.vocab_size)
    sizes = replace(config, num_layers=bert.num_layers, num_heads=bert.num_heads)
    generator = _generator(sizes, preset, bert.hidden_size)
    return replace(bert, objective="electra", **generator)


def _generator(config: PretrainConfig, preset: ModelConfig, hidden_size: int) -> dict[str, Any]:
    """The sizes of the generator, by their names in a ModelConfig."""
    size = config.generator_size
    if size is None:
        generator_size = round(hidden_size * preset.generator_hidden_size / preset.hidden_size)
    elif size <= 1:
        generator_size = round(hidden_size * size)
    elif size == int(size):
        generator_size = int(size)
    else:
        raise ValueError(
            f"--generator-size {size} is neither a fraction up to 1 nor a whole number"
        )

    layers = config.num_layers or preset.num_layers
    heads = config.num_heads or preset.num_heads
    if (heads, generator_size) == (preset.num_heads, preset.generator_hidden_size):
        generator_heads = preset.generator_num_heads
    else:
        generator_heads = max(1, round(heads * generator_size / hidden_size))
    share = preset.generator_num_layers / preset.num_layers
    return {
        "generator_hidden_size": generator_size,
        "generator_num_layers": config.generator_num_layers or max(1, round(layers * share)),
        "generator_num_heads": config.generator_num_heads or generator_heads,
        "generator_intermediate_size": 4 * generator_size,
    }


def resolve_pretraining(
    config: PretrainConfig, model_config: ModelConfig, from_bert: bool = False
) -> PretrainConfig:
    """Fill in all that the user left to the presets and to the model.

    from_bert: as in `continue_defaults`. `steps` of --epochs and `warmup_steps` take the data too:
    `resolve_steps`.
    """
    size = nearest_size(model_config) if config.init else config.size
    preset = SIZES[size]
    if config.init:
        lr = continue_defaults(model_config, from_bert).lr
    else:
        lr = preset.lr if model_config.objective == "electra" else preset.mlm_lr
    unlimited = config.steps is None and config.minutes is None and config.epochs is None
    return replace(
        config,
        size=size,
        batch_tokens=preset.batch_tokens if config.batch_tokens is None else config.batch_tokens,
        steps=preset.steps if unlimited else config.steps,
        lr=lr if config.lr is None else config.lr,
        mask_prob=preset.mask_prob if config.mask_prob is None else config.mask_prob,
        out=config.out or default_out(config.corpus, size, model_config.objective),
        vocab_size=_vocab_size(config, model_config),
        generator_size=_generator_size(config, model_config),
        **{name: getattr(model_config, name) for name in FROM_MODEL},
    )


def _vocab_size(config: PretrainConfig, model_config: ModelConfig) -> int:
    """The tokens that were asked for, of which a small corpus gives fewer; else the model's."""
    if config.init or config.tokenizer:
        return model_config.vocab_size
    return config.vocab_size or SIZES[config.size].vocab_size


def _generator_size(config: PretrainConfig, model_config: ModelConfig) -> float:
    """As it was given; else the model's, as a fraction."""
    if config.generator_size is None:
        return model_config.generator_hidden_size / model_config.hidden_size
    return config.generator_size


def resolve_steps(config: PretrainConfig, steps_per_epoch: Callable[[], float]) -> PretrainConfig:
    """Fill in the steps of --epochs, and the warm-up. `steps_per_epoch` is called for --epochs."""
    steps, warmup_steps = config.steps, config.warmup_steps
    if steps is None and config.minutes is None:
        assert config.epochs is not None
        steps = max(1, round(config.epochs * steps_per_epoch()))
    if warmup_steps is None:
        warmup_steps = SIZES[config.size].warmup_steps
        if steps is not None:
            warmup_steps = min(warmup_steps, steps // 10)
    return replace(config, steps=steps, warmup_steps=warmup_steps)


def default_out(corpus: tuple[str, ...], size: str, objective: str) -> str:
    """The run folder of a corpus: runs/<corpus>-<size>-<objective>."""
    name = Path(corpus[0].rstrip("/")).name.split(".")[0].strip("*") or "corpus"
    return f"runs/{name}-{size}-{objective}"
