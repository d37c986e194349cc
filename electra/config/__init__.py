"""Every setting once: frozen dataclasses, presets of sizes, and what is filled in for the user.

A field's name is its flag, its default its default, its metadata its help and its bounds. Loading a
dictionary is strict: an unknown or missing key raises, so no setting is dropped in silence.
"""

from electra.config.defaults import (
    LONG_TRAINING,
    Origin,
    continue_defaults,
    describe_model,
    finetune_defaults,
    preset_finetune_defaults,
)
from electra.config.file import read_settings
from electra.config.finetuning import (
    TRUNCATIONS,
    FinetuneConfig,
    check_finetune_flags,
    resolve_finetuning,
)
from electra.config.model import (
    ATTENTION_INITS,
    CLS,
    LARGEST_SIZE,
    MASK,
    MOST_LAYERS,
    OBJECTIVES,
    PAD,
    POOLINGS,
    SEP,
    SIZES,
    SPECIAL_IDS,
    SPECIAL_TOKENS,
    UNK,
    ModelConfig,
    Size,
    SpecialIds,
    encoder_parameters,
    nearest_size,
    preset_model_config,
)
from electra.config.options import Bounds, Settings, flag_of, flag_type, from_dict, option, to_dict
from electra.config.phases import Phase, longest_phase, parse_phases
from electra.config.pretraining import AMP_CHOICES, LONGEST_TIMEOUT, PretrainConfig
from electra.config.resolving import (
    GENERATOR_FLAGS,
    check_objective_flags,
    check_pretrain_flags,
    chosen_model_config,
    default_out,
    electra_from_bert,
    resolve_pretraining,
    resolve_steps,
)

__all__ = [
    "AMP_CHOICES",
    "ATTENTION_INITS",
    "CLS",
    "LARGEST_SIZE",
    "LONGEST_TIMEOUT",
    "LONG_TRAINING",
    "MASK",
    "MOST_LAYERS",
    "OBJECTIVES",
    "PAD",
    "POOLINGS",
    "SEP",
    "SIZES",
    "SPECIAL_IDS",
    "SPECIAL_TOKENS",
    "TRUNCATIONS",
    "UNK",
    "Bounds",
    "FinetuneConfig",
    "GENERATOR_FLAGS",
    "ModelConfig",
    "Origin",
    "Phase",
    "PretrainConfig",
    "Settings",
    "Size",
    "SpecialIds",
    "check_finetune_flags",
    "check_objective_flags",
    "check_pretrain_flags",
    "chosen_model_config",
    "continue_defaults",
    "default_out",
    "describe_model",
    "encoder_parameters",
    "finetune_defaults",
    "electra_from_bert",
    "flag_of",
    "flag_type",
    "from_dict",
    "nearest_size",
    "option",
    "longest_phase",
    "parse_phases",
    "read_settings",
    "preset_finetune_defaults",
    "preset_model_config",
    "resolve_finetuning",
    "resolve_pretraining",
    "resolve_steps",
    "to_dict",
]
