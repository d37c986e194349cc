"""The settings of train.py, and how each that the user leaves open is filled in."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from electra.config.model import (
    ATTENTION_INITS,
    OBJECTIVES,
    SIZES,
    ModelConfig,
    nearest_size,
)
from electra.config.options import Settings, flag_of, option

AMP_CHOICES = ("auto", "bf16", "fp16", "off")
LONGEST_TIMEOUT = 10_000  # minutes, a week


@dataclass(frozen=True)
class PretrainConfig(Settings):
    """Settings of train.py. `None` means: from the preset of `--size` (`resolve_pretraining`)."""

    corpus: tuple[str, ...] = option(
        ("data/sample/wiki.raw",), "text", "files, folders or globs to train on"
    )
    valid: tuple[str, ...] = option(
        (),
        "text",
        "held-out text (default: 0.5%% of the corpus's documents, or 5 of a small corpus)",
    )
    errors: str = option(
        "strict", "text", "bytes that are not UTF-8: stop, or replace them", ("strict", "replace")
    )
    cache: str = option("data/cache", "text", "folder of tokenised corpora, shared by runs")

    tokenizer: str | None = option(
        None,
        "tokenizer",
        "an existing tokenizer: a SentencePiece model, or a BERT vocab.txt (default: train one)",
    )
    vocab_size: int | None = option(
        None,
        "tokenizer",
        "tokens of a new vocabulary, fewer where the corpus is "
        "too small (default: 30,522; tiny: 4,000)",
    )
    cased: bool = option(
        False, "tokenizer", "keep upper case: in a new vocabulary, or with a vocab.txt"
    )

    size: str = option("small", "model", "shape of the model", tuple(SIZES))
    objective: str = option(
        "electra", "model", "electra, or mlm: a BERT of the same blocks", OBJECTIVES
    )
    dropout: float | None = option(
        None, "model", "dropout in pre-training (default: 0.1; tiny: 0)", at_least=0, below=1
    )
    attention_init: str | None = option(
        None,
        "model",
        "first values of the attention heads (default: usual; tiny: neighbours)",
        ATTENTION_INITS,
    )
    init: str | None = option(
        None, "model", "checkpoint whose weights, sizes and tokenizer to start from"
    )

    seq_len: int = option(128, "batches", "tokens of an example, [CLS] and [SEP] included")
    phases: str | None = option(
        None, "batches", "lengths by share of the run, e.g. 128:0.9,512:0.1; replaces --seq-len"
    )
    interleave: bool = option(
        False,
        "batches",
        "draw the length of every step by the shares of --phases, instead of "
        "one stretch after the other",
    )
    batch_tokens: int | None = option(
        None, "batches", "tokens of one step, padding included (default: by size)", above=0
    )
    accumulate: int = option(1, "batches", "split each step into this many micro-batches", above=0)

    steps: int | None = option(None, "training", "optimizer steps (default: by size)", above=0)
    minutes: float | None = option(
        None,
        "training",
        "stop after this time; the schedule follows the clock",
        above=0,
        at_most=math.inf,
    )
    epochs: float | None = option(
        None, "training", "passes over the corpus; fractions are taken", above=0
    )
    lr: float | None = option(
        None, "training", "peak learning rate (default: by size, lower with --init)", above=0
    )
    warmup_steps: int | None = option(
        None,
        "training",
        "steps of linear warm-up (default: by size, at most a "
        "tenth of the run; with --minutes never more than a tenth)",
        at_least=0,
    )
    seed: int = option(0, "training", "seed of weights, order, masks and dropout", at_least=0)

    device: str = option("auto", "machine", "auto, cpu, cuda, cuda:1, mps")
    amp: str = option(
        "auto", "machine", "mixed precision; auto: bf16 where the device has it", AMP_CHOICES
    )
    compile: bool | None = option(None, "machine", "torch.compile the networks (default: on GPUs)")
    cuda_graphs: bool | None = option(
        None,
        "machine",
        "on one GPU: record the step as a CUDA graph for each shape of batch (default: no)",
    )
    deterministic: bool = option(
        False,
        "machine",
        "on a GPU: only operations that give the same bits each time, so that --resume is exact "
        "there too; slower",
    )
    zero: bool = option(
        False, "machine", "under torchrun: share out the optimizer's state over the processes"
    )
    rank_timeout: float = option(
        10.0,
        "machine",
        "under torchrun: minutes after which a process that does not answer is given up",
        above=0,
        at_most=LONGEST_TIMEOUT,
    )

    out: str | None = option(None, "run", "run folder (default: runs/<corpus>-<size>-<objective>)")
    resume: bool = option(
        False, "run", "go on with the run in --out, exactly as if it had never stopped"
    )
    config: str | None = option(
        None,
        "run",
        "config.json of an earlier run: its settings, where no flag says otherwise",
    )
    save_every: int = option(1_000, "run", "steps between checkpoints", above=0)
    save_minutes: float = option(
        10.0, "run", "most minutes between checkpoints", above=0, at_most=math.inf
    )
    keep: int = option(
        2,
        "run",
        "numbered checkpoints kept beside ckpt.pt; the newest is the same file, so --resume can "
        "fall back on an earlier one from 2 on",
        at_least=0,
    )
    eval_every: int = option(
        1_000, "run", "steps between evaluations on the held-out text", above=0
    )
    log_every: int = option(100, "run", "steps between lines of the log", above=0)

    FOLLOWERS = {}
    NOT_FROM_FILE = ("out", "resume", "config")


def check_pretrain_flags(config: PretrainConfig, given: set[str]) -> None:
    """Raise ValueError for flags of a new run that do not go together; `given` are those typed."""
    clash = sorted(given & {"tokenizer", "vocab_size", "cased", "size", "attention_init"})
    if config.init and clash:
        raise ValueError(
            f"{flag_of(clash[0])} cannot be chosen with --init: it comes with the checkpoint"
        )
    if sum(limit is not None for limit in (config.steps, config.minutes, config.epochs)) > 1:
        raise ValueError("of --steps, --minutes and --epochs give one")
    if config.interleave and not config.phases:
        raise ValueError(
            "--interleave needs the lengths to draw from: --phases, e.g. 64:0.8,512:0.2"
        )


def resolve_pretraining(config: PretrainConfig, model_config: ModelConfig) -> PretrainConfig:
    """Fill in all that the user left to the presets and to the model.

    `steps` of --epochs and `warmup_steps` take the data too: `resolve_steps`.
    """
    size = nearest_size(model_config) if config.init else config.size
    preset = SIZES[size]
    if config.init:
        lr = preset.continue_lr
    else:
        lr = preset.lr if model_config.objective == "electra" else preset.mlm_lr
    unlimited = config.steps is None and config.minutes is None and config.epochs is None
    return replace(
        config,
        size=size,
        objective=model_config.objective,
        vocab_size=model_config.vocab_size,
        dropout=model_config.dropout,
        attention_init=model_config.attention_init,
        batch_tokens=preset.batch_tokens if config.batch_tokens is None else config.batch_tokens,
        steps=preset.steps if unlimited else config.steps,
        lr=lr if config.lr is None else config.lr,
        out=config.out or default_out(config.corpus, size, model_config.objective),
    )


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
