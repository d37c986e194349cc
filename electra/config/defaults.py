"""Defaults of training that starts from a model: they follow from what the model is.

Three facts count: the parameters of its encoder (its preset is the nearest by them), its
objective, and how long it was pre-trained. Released models were trained for 1,000 tokens and more
per parameter, and want to be changed little. docs/fine-tuning.md has the table.
"""

from __future__ import annotations

from typing import NamedTuple

from electra.config.model import SIZES, SMALL_STEP, ModelConfig, encoder_parameters, nearest_size

# Tokens of pre-training per parameter of the encoder. The paper's models had 1,180 (base), 1,390
# (large) and 1,720 (small); this project's tiny gets 34.
LONG_TRAINING = 1_000


class Origin(NamedTuple):
    """What a model has behind it."""

    imported: bool = False  # its weights, or those that it began with, were released by others
    tokens: int = 0  # of pre-training by this program


class FinetuneDefaults(NamedTuple):
    """Settings of a fine-tuning."""

    lr: float
    layer_decay: float
    pooling: str
    batch_rows: int


class ContinueDefaults(NamedTuple):
    """Settings of a pre-training that goes on from a model."""

    lr: float
    batch_tokens: int


# By objective and size. electra: table 7 of its paper, whose smallest size is small. mlm: among
# the largest learning rates that were tried for BERT (appendix A.3 of its paper) and its small
# releases; the decay is this project's.
_LONG_TRAINED = {
    "electra": {
        "tiny": (3e-4, 0.8),
        "small": (3e-4, 0.8),
        "base": (1e-4, 0.8),
        "large": (5e-5, 0.9),
    },
    "mlm": {"tiny": (1e-4, 0.9), "small": (1e-4, 0.9), "base": (5e-5, 0.9), "large": (3e-5, 0.9)},
}


def preset_finetune_defaults(size: str) -> FinetuneDefaults:
    """Those of a model of a preset's size that was trained here, or of random weights."""
    preset = SIZES[size]
    return FinetuneDefaults(
        preset.finetune_lr,
        preset.layer_decay,
        str(preset.model["pooling"]),
        preset.finetune_rows,
    )


def finetune_defaults(config: ModelConfig, origin: Origin) -> FinetuneDefaults:
    """Those of a fine-tuning that starts from a model."""
    size = nearest_size(config)
    defaults = preset_finetune_defaults(size)
    if not is_long_trained(config, origin):
        return defaults
    lr, layer_decay = _LONG_TRAINED[config.objective][size]
    pooling = "cls" if origin.imported else defaults.pooling  # as the papers have it
    return FinetuneDefaults(lr, layer_decay, pooling, SMALL_STEP)


def continue_defaults(config: ModelConfig, from_bert: bool = False) -> ContinueDefaults:
    """Those of a pre-training that goes on from a model.

    from_bert: whether a BERT becomes the discriminator of an ELECTRA, whose generator is new.
    """
    preset = SIZES[nearest_size(config)]
    return ContinueDefaults(preset.lr if from_bert else preset.continue_lr, preset.batch_tokens)


def is_long_trained(config: ModelConfig, origin: Origin) -> bool:
    """Whether a model was imported, or trained here for as long as a released one."""
    return origin.imported or origin.tokens >= LONG_TRAINING * encoder_parameters(config)


def describe_model(config: ModelConfig, origin: Origin) -> str:
    """What defaults follow from, for a line on the screen: "an imported BERT with …"."""
    if origin.imported:
        how = "an imported"
    elif is_long_trained(config, origin):
        how = "a fully trained"
    else:
        how = "a briefly trained"
    name = "ELECTRA" if config.objective == "electra" else "BERT"
    return (
        f"{how} {name} with {encoder_parameters(config) / 1e6:.1f} M parameters in its encoder "
        f"(nearest: {nearest_size(config)})"
    )
