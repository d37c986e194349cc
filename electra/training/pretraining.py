"""What pre-training sets up before its loop: its start, its model, its state, its run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from electra.checkpoint.checkpoint import PRETRAINED, Checkpoint, TrainingState, load_encoder
from electra.checkpoint.location import locate_checkpoint
from electra.checkpoint.run_folder import RunFolder, load_newest, of_run
from electra.checkpoint.storage import load_checkpoint, load_tokenizer_at
from electra.config import (
    GENERATOR_FLAGS,
    SIZES,
    ModelConfig,
    Origin,
    Phase,
    PretrainConfig,
    check_init_flags,
    check_objective_flags,
    check_pretrain_flags,
    chosen_model_config,
    default_out,
    electra_from_bert,
    from_dict,
    nearest_size,
    resolve_pretraining,
    to_dict,
)
from electra.data import token_cache
from electra.data.spans import SpanBatches
from electra.data.tokenizer import Tokenizer
from electra.model.bert import BertMLM
from electra.model.build import build, check_weights, with_weights
from electra.model.electra import Electra
from electra.training import distributed
from electra.training.loss_scale import LossScale
from electra.training.machine import Machine
from electra.training.optimizer import Adam, AdamSettings, ShardedAdam, parameter_groups
from electra.training.passes import CudaGraphs
from electra.training.progress import Progress
from electra.training.schedule import Schedule
from electra.training.seeds import PRETRAINING_TAG, derive_seed
from electra.training.step import Learner

# What --resume may change: none of it touches weights, metrics or the order of the data.
FREE_ON_RESUME = {
    "config",
    "out",
    "resume",
    "compile",
    "cuda_graphs",
    "zero",
    "rank_timeout",
    "save_every",
    "save_minutes",
    "keep",
    "eval_every",
    "log_every",
    "cache",
}
# What it may change where the text in tokens stays the same: a corpus may have moved.
FREE_FOR_SAME_TEXT = {"corpus", "valid", "errors", "text_field"}


class Start(NamedTuple):
    """The checkpoint that a run is resumed or initialised from."""

    checkpoint: Checkpoint
    path: str | Path  # the file that it was read from
    origin: Origin  # what the model had behind it before this run

    def becomes(self, model_config: ModelConfig) -> bool:
        """Whether its model, a BERT, becomes the discriminator of an ELECTRA."""
        return self.checkpoint.model_config.objective != model_config.objective


def read_start(config: PretrainConfig, given: set[str]) -> tuple[Start | None, PretrainConfig]:
    """The checkpoint to resume or to start from, None for random weights, and the run's settings.

    `config.resume` of these settings tells which of the two it is. given: names of the flags that
    were typed. Raises ValueError where there is no such checkpoint, or a flag contradicts its run.
    """
    if {"config", "resume"} <= given:
        raise ValueError("--config begins a run: leave it out with --resume, which has its own")
    if distributed.restarted():  # by torchrun, with the command line of the beginning
        out = config.out or _out_of_first_start(config, given)
        config = replace(config, out=out, resume=config.resume or bool(of_run(Path(out))))
    if config.resume:
        return read_run(config, given)
    check_pretrain_flags(config, given)
    if not config.init:
        return None, config
    path = locate_checkpoint(config.init)
    checkpoint = load_checkpoint(path, PRETRAINED)
    origin = checkpoint.origin_now()
    checkpoint.training = None  # lets its memory go: the new run has an optimizer of its own
    return Start(checkpoint, path, origin), replace(config, init=str(path))


def _out_of_first_start(config: PretrainConfig, given: set[str]) -> str:
    """The run folder of a command line without --out. With --init the checkpoint has the size."""
    size, objective = config.size, config.objective
    if config.init:
        model_config = load_checkpoint(config.init, PRETRAINED).model_config
        size = nearest_size(model_config)
        if not _names_objective(config, given):
            objective = model_config.objective
    return default_out(config.corpus, size, objective)


def read_run(config: PretrainConfig, given: set[str]) -> tuple[Start, PretrainConfig]:
    """The checkpoint and the settings of the run in --out. Raises ValueError as `read_start`."""
    if config.out is None:
        raise ValueError("--resume needs --out, the folder of the run to go on with")
    checkpoint, path, warning = load_newest(Path(config.out), PRETRAINED)
    if warning:
        print(warning, flush=True)
    if checkpoint.training is None:
        raise ValueError(
            f"{config.out} holds an imported checkpoint or a small one, not a run to go on with; "
            f"begin one with --init"
        )
    try:
        old = from_dict(PretrainConfig, checkpoint.settings)
        old = resolve_pretraining(old, checkpoint.model_config)  # what an earlier version lacks
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None

    if config.init and Path(config.init).is_dir():  # the settings name its file
        config = replace(config, init=str(locate_checkpoint(config.init)))
    free = FREE_ON_RESUME | (FREE_FOR_SAME_TEXT if checkpoint.training.fingerprints else set())
    changed = sorted(name for name in given - free if getattr(config, name) != getattr(old, name))
    if changed:
        name = changed[0]
        raise ValueError(
            f"--{name.replace('_', '-')} {getattr(config, name)} differs from the run's "
            f"{getattr(old, name)}; leave it out, or begin another run with --init"
        )
    taken = {name: getattr(config, name) for name in (free & given) | {"out", "resume"}}
    return Start(checkpoint, path, checkpoint.origin), replace(old, **taken)


# ---------------------------------------------------------------- model


def choose_model(
    config: PretrainConfig, given: set[str], start: Start | None
) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and model config: the checkpoint's, or those of the settings and the corpus."""
    if start is not None:
        model_config = _checkpoint_model_config(config, given, start.checkpoint)
        return start.checkpoint.tokenizer, model_config
    check_objective_flags(config.objective, given)
    if config.tokenizer:
        tokenizer = load_tokenizer_at(config.tokenizer, config.cased)
    else:
        vocab_size = config.vocab_size or SIZES[config.size].vocab_size
        tokenizer = token_cache.corpus_tokenizer(
            *(config.corpus, vocab_size, config.cased),
            *(config.errors, config.cache, config.text_field),
        )
    return tokenizer, chosen_model_config(config, tokenizer.vocab_size, tokenizer.special)


def _names_objective(config: PretrainConfig, given: set[str]) -> bool:
    """Whether the objective was asked for: by a flag, or by the run that --config repeats."""
    return "objective" in given or (config.config is not None and "init" not in given)


def _checkpoint_model_config(
    config: PretrainConfig, given: set[str], checkpoint: Checkpoint
) -> ModelConfig:
    """The model config of a checkpoint. Raises ValueError where a flag contradicts it."""
    model_config = checkpoint.model_config
    if config.resume:
        return model_config
    if _names_objective(config, given) and config.objective != model_config.objective:
        if config.objective == "mlm":
            raise ValueError(
                f"{config.init} is an ELECTRA; its weights do not make a model of objective mlm"
            )
        model_config = electra_from_bert(config, model_config)
    else:
        check_init_flags(given & GENERATOR_FLAGS)
    check_objective_flags(model_config.objective, given)
    dropout, attention_dropout = config.dropout, config.attention_dropout
    if dropout is not None:
        model_config = replace(model_config, dropout=dropout, attention_dropout=dropout)
    if attention_dropout is not None:
        model_config = replace(model_config, attention_dropout=attention_dropout)
    return model_config


# ---------------------------------------------------------------- state


def make_schedule(config: PretrainConfig, phases: tuple[Phase, ...]) -> Schedule:
    """The schedule of the settings."""
    assert config.lr is not None and config.warmup_steps is not None
    return Schedule(
        config.steps,
        config.minutes,
        config.lr,
        config.warmup_steps,
        phases,
        config.interleave,
        config.seed,
        config.lr_decay_power,
    )


def make_model(
    config: PretrainConfig,
    model_config: ModelConfig,
    start: Start | None,
    device: torch.device,
) -> Electra | BertMLM:
    """The model on the device, with the weights of the checkpoint or random ones.

    From a BERT an ELECTRA takes the embeddings and the encoder, as its discriminator.
    """

    def make(model_config: ModelConfig) -> Electra | BertMLM:
        assert config.mask_prob is not None
        return build(model_config, config.mask_prob, config.rtd_weight, config.temperature)

    if start is not None and not start.becomes(model_config):
        model = with_weights(make, model_config, start.checkpoint.model, start.path)
    else:
        torch.manual_seed(derive_seed(config.seed, PRETRAINING_TAG))
        model = make(model_config)
    if start is not None and start.becomes(model_config):
        check_weights(make, start.checkpoint.model_config, start.checkpoint.model, start.path)
        load_encoder(model, start.checkpoint)
    model.to(device)
    if config.compile:
        model.compile_networks()
    return model


def make_learner(
    config: PretrainConfig, model: Electra | BertMLM, machine: Machine, graphs: CudaGraphs | None
) -> Learner:
    """The model with its optimizer and loss scale."""
    kind = ShardedAdam if config.zero and machine.ranks.world_size > 1 else Adam
    settings = AdamSettings(
        config.adam_beta1, config.adam_beta2, config.adam_epsilon, config.grad_clip
    )
    optimizer = kind(parameter_groups(model, config.weight_decay), settings)
    return Learner(
        distributed.wrap(model, machine.ranks),
        optimizer,
        LossScale(machine.precision, machine.device),
        machine.precision,
        machine.ranks,
        graphs,
    )


def restore(training: TrainingState | None, learner: Learner, stream: SpanBatches) -> Progress:
    """Put everything back to where the checkpoint was; leave it as it is for a run that begins.

    What all ranks had counted since the last line of the log becomes the first rank's.
    """
    if training is None:
        return Progress(TrainingState())
    learner.optimizer.load_state_dict(training.optimizer)
    learner.scale.load_state_dict(training.scale)
    stream.load(training.stream)
    device, window = learner.scale.scale.device, {}
    if learner.ranks.first:
        window = {name: value.to(device) for name, value in training.window.items()}
    return Progress(replace(training, window=window))


def open_folder(
    config: PretrainConfig, model_config: ModelConfig, tokenizer: Tokenizer, machine: Machine
) -> RunFolder | None:
    """The run folder, on the first rank alone, with the small files of a run that begins.

    Raises ValueError where it cannot be used.
    """
    assert config.out is not None
    if not machine.ranks.first:
        return None
    folder = RunFolder(config.out, config.resume, replace=distributed.restarted())
    if not config.resume:
        settings = {**to_dict(config), "model": to_dict(model_config)}
        folder.write_json("config.json", {**settings, "amp_used": machine.precision.name})
        folder.write("tokenizer.model", tokenizer.to_bytes())
    return folder
