"""Defaults that follow from what a model is: its encoder's size, its objective, its training."""

import dataclasses

import pytest

from electra.config import (
    LONG_TRAINING,
    SIZES,
    FinetuneConfig,
    Origin,
    PretrainConfig,
    continue_defaults,
    describe_model,
    encoder_parameters,
    finetune_defaults,
    nearest_size,
    preset_model_config,
    resolve_finetuning,
    resolve_pretraining,
)
from electra.model.bert import BertMLM
from electra.model.build import build_on_meta
from electra.model.electra import Electra

pytestmark = pytest.mark.fast

IMPORTED = Origin(imported=True)
MINILM = dataclasses.replace(
    preset_model_config("small", "mlm", 30_522),
    embedding_size=384,
    hidden_size=384,
    num_layers=6,
    num_heads=12,
    intermediate_size=1_536,
)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"embedding_size": 24},
        {"num_layers": 3, "intermediate_size": 17},
        {"objective": "mlm"},
    ],
)
def test_the_parameters_of_an_encoder_are_counted(shape, changes):
    config = shape(**changes)
    make = BertMLM if config.objective == "mlm" else Electra
    model = build_on_meta(lambda config: make(config, 0.15), config)
    encoder = model.mlm.encoder if config.objective == "mlm" else model.discriminator
    assert encoder_parameters(config) == sum(p.numel() for p in encoder.parameters())


# By hand: the presets' own settings, on which results in docs/ depend.
@pytest.mark.parametrize("objective", ["electra", "mlm"])
@pytest.mark.parametrize(
    "size, lr, layer_decay, pooling, batch_rows, continue_lr",
    [
        ("tiny", 4e-4, 1.0, "mean", 128, 1e-4),
        ("small", 3e-4, 0.8, "cls", 32, 1e-4),
        ("base", 1e-4, 0.8, "cls", 32, 5e-5),
        ("large", 5e-5, 0.9, "cls", 32, 2e-5),
    ],
)
def test_a_preset_that_was_trained_here_keeps_its_settings(
    size, objective, lr, layer_decay, pooling, batch_rows, continue_lr
):
    config = preset_model_config(size, objective, 1_000)
    found = finetune_defaults(config, Origin(tokens=80_000_000))
    assert found == (lr, layer_decay, pooling, batch_rows)
    assert continue_defaults(config) == (continue_lr, SIZES[size].batch_tokens)


@pytest.mark.parametrize(
    "size, objective, expected",
    [
        ("small", "electra", (3e-4, 0.8, "cls")),
        ("base", "electra", (1e-4, 0.8, "cls")),
        ("large", "electra", (5e-5, 0.9, "cls")),
        ("tiny", "mlm", (1e-4, 0.9, "cls")),
        ("small", "mlm", (1e-4, 0.9, "cls")),
        ("base", "mlm", (5e-5, 0.9, "cls")),
        ("large", "mlm", (3e-5, 0.9, "cls")),
    ],
)
def test_an_imported_model_is_changed_little(size, objective, expected):
    config = preset_model_config(size, objective, 1_000)
    assert finetune_defaults(config, IMPORTED) == (*expected, 32)


def test_six_layers_of_384_are_not_tiny():
    assert 10.6e6 < encoder_parameters(MINILM) < 10.7e6
    assert nearest_size(MINILM) == "small"
    found = resolve_finetuning(FinetuneConfig(init="a/b.pt"), MINILM, IMPORTED, "sst2", 3.0, 128)
    assert (found.size, found.lr, found.layer_decay, found.pooling) == ("small", 1e-4, 0.9, "cls")
    going_on = resolve_pretraining(PretrainConfig(init="a/b.pt"), MINILM)
    assert (going_on.size, going_on.lr, going_on.batch_tokens) == ("small", 1e-4, 16_384)
    assert describe_model(MINILM, IMPORTED) == (
        "an imported BERT with 10.6 M parameters in its encoder (nearest: small)"
    )


def test_a_model_that_was_trained_here_to_the_end_counts_as_a_released_one():
    config = preset_model_config("small", "mlm", 1_000)
    enough = LONG_TRAINING * encoder_parameters(config)
    assert finetune_defaults(config, Origin(tokens=enough)).lr == 1e-4
    assert finetune_defaults(config, Origin(tokens=enough - 1)).lr == SIZES["small"].finetune_lr
    assert describe_model(config, Origin(tokens=enough)).startswith("a fully trained BERT")
    for size in ("small", "base", "large"):  # the paper's own runs are such
        steps = SIZES[size].steps * SIZES[size].batch_tokens
        shape = preset_model_config(size, "electra", 1_000)
        assert steps >= LONG_TRAINING * encoder_parameters(shape)


def test_what_is_typed_goes_before_the_defaults():
    mine = FinetuneConfig(init="a/b.pt", lr=1.0, layer_decay=0.5, pooling="mean")
    found = resolve_finetuning(mine, MINILM, IMPORTED, "sst2", 3.0, 128)
    assert (found.lr, found.layer_decay, found.pooling) == (1.0, 0.5, "mean")
