"""The settings of a run with every None filled in; numbers that make no run are refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from electra.checkpoint.checkpoint import Checkpoint
from electra.config import SIZES, FinetuneConfig, ModelConfig, PretrainConfig, nearest_size
from electra.tasks.task import TaskData

SMALL_SET, SMALL_SET_EPOCHS = 3_000, 10  # as the paper gives RTE 10 epochs, where most tasks have 3


def resolve(config: PretrainConfig, model_config: ModelConfig) -> PretrainConfig:
    """Fill in what the user left to the presets. Raises ValueError for numbers that make no run."""
    if config.init:
        config = replace(config, size=nearest_size(model_config), objective=model_config.objective)
    preset = SIZES[config.size]
    if (
        sum(limit is not None for limit in (config.steps, config.minutes, config.epochs)) > 1
        and not config.resume
    ):
        raise ValueError("of --steps, --minutes and --epochs give one")
    if config.lr is None:
        scratch = preset.lr if config.objective == "electra" else preset.mlm_lr
        config = replace(config, lr=preset.continue_lr if config.init else scratch)
    if config.steps is None and config.minutes is None and config.epochs is None:
        config = replace(config, steps=preset.steps)
    config = replace(
        config,
        batch_tokens=config.batch_tokens or preset.batch_tokens,
        dropout=model_config.dropout,
        attention_init=model_config.attention_init,
        vocab_size=model_config.vocab_size,
        out=config.out or default_out(config),
    )
    _check_pretraining(config)
    return config


def _check_pretraining(config: PretrainConfig) -> None:
    """Raises ValueError for numbers that make no run."""
    for setting in (
        "steps",
        "minutes",
        "epochs",
        "lr",
        "batch_tokens",
        "accumulate",
        "save_every",
        "save_minutes",
        "eval_every",
        "log_every",
    ):
        value = getattr(config, setting)
        if value is not None and value <= 0:
            raise ValueError(f"--{setting.replace('_', '-')} must be above 0, not {value}")
    if config.interleave and not config.phases:
        raise ValueError(
            "--interleave needs the lengths to draw from: --phases, e.g. 64:0.8,512:0.2"
        )
    if config.seed < 0:
        raise ValueError(f"--seed must be 0 or more, not {config.seed}")
    assert config.dropout is not None
    if not 0 <= config.dropout < 1:
        raise ValueError(f"--dropout must be from 0 to below 1, not {config.dropout}")


def default_out(config: PretrainConfig) -> str:
    """The run folder without --out."""
    name = Path(config.corpus[0].rstrip("/")).name.split(".")[0].strip("*") or "corpus"
    return f"runs/{name}-{config.size}-{config.objective}"


def fill_in(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None
) -> FinetuneConfig:
    """Replace each `None` by what the task's row and the preset of the size say."""
    size = config.size if checkpoint is None else nearest_size(checkpoint.model_config)
    preset = SIZES[size]
    name = "random" if checkpoint is None else Path(config.init).resolve().parent.name
    epochs = (
        max(SMALL_SET_EPOCHS, data.task.epochs) if len(data.train) < SMALL_SET else data.task.epochs
    )
    defaults: dict[str, Any] = {
        "epochs": float(epochs),
        "max_len": data.task.max_len,
        "lr": preset.finetune_lr,
        "layer_decay": preset.layer_decay,
        "pooling": preset.model["pooling"],
        "out": f"runs/{data.task.name}-{name}",
    }
    missing: dict[str, Any] = {
        key: value for key, value in defaults.items() if getattr(config, key) is None
    }
    config = replace(config, task=data.task.name, size=size, **missing)
    _check_finetuning(config)
    return config


def _check_finetuning(config: FinetuneConfig) -> None:
    """Raises ValueError for numbers that make no run."""
    assert config.max_len is not None
    for setting in ("epochs", "lr", "layer_decay", "batch_tokens"):
        if getattr(config, setting) <= 0:
            raise ValueError(
                f"--{setting.replace('_', '-')} must be above 0, not {getattr(config, setting)}"
            )
    if config.max_len < 8:
        raise ValueError(f"--max-len must be 8 or more, not {config.max_len}")
    for setting, most in (
        ("freeze_epochs", math.inf),
        ("weight_decay", math.inf),
        ("warmup", 1),
        ("dropout", 1),
    ):
        value = getattr(config, setting)
        if not 0 <= value <= most:
            raise ValueError(f"--{setting.replace('_', '-')} must be from 0 to {most}, not {value}")
    if not config.seeds or min(config.seeds) < 0:
        raise ValueError("--seeds needs at least one number, and none below 0")
