"""Contenders in pre-training: the steps of train.py, and those of the baseline."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from electra.benchmark.baseline import (
    DOCUMENTS_PER_BATCH,
    baseline_device,
    baseline_documents,
    baseline_step,
    transformers_pretraining,
)
from electra.benchmark.contender import Contender, Workload
from electra.benchmark.steps import dense_batches, dtype_name, go_through, our_step
from electra.checkpoint.checkpoint import TrainingState, make_checkpoint
from electra.checkpoint.run_folder import RunFolder
from electra.config import (
    SIZES,
    SPECIAL_TOKENS,
    ModelConfig,
    PretrainConfig,
    parse_phases,
    preset_model_config,
)
from electra.data.batch import Batch
from electra.data.token_store import hold_out, open_store
from electra.data.wordpiece import WordPieceTokenizer
from electra.model.bert import BertMLM
from electra.model.build import build
from electra.model.electra import Electra
from electra.model.flops import pretraining_flops
from electra.training import distributed
from electra.training.device import Precision, choose_device, choose_precision
from electra.training.optimizer import Adam, parameter_groups
from electra.training.passes import choose_graphs
from electra.training.pretraining import choose_model
from electra.training.pretraining_text import make_stream

OURS = ("ours", "saving", "ddp", "plain")  # this project, alone or with something on top


class Setup(NamedTuple):
    """What a contender trains, on what, and where."""

    args: argparse.Namespace  # the flags of `bench.py pretrain`
    name: str
    device: torch.device
    precision: Precision
    model_config: ModelConfig
    mask_prob: float
    batches: Iterator[Batch]  # without end


def pretraining_contender(args: argparse.Namespace, name: str) -> Contender:
    """Make the contender `name` for the flags of `bench.py pretrain`.

    Raises ValueError for what cannot be trained.
    """
    _check(args)
    ours = name in OURS
    device = choose_device(args.device) if ours else baseline_device(args.device)
    precision = choose_precision(args.amp, device)

    if args.corpus:
        config, batches = _open_text(args, ours, device)
    else:
        config, batches = _make_dense(args)
    parse_phases(args.seq_len, None, config.max_positions)  # refuses a length the model cannot hold

    mask_prob = SIZES[args.size].mask_prob
    setup = Setup(args, name, device, precision, config, mask_prob, batches)
    return _our_contender(setup) if ours else _baseline_contender(setup)


def _check(args: argparse.Namespace) -> None:
    if args.dropout is not None and not 0 <= args.dropout < 1:
        raise ValueError(f"--dropout must be from 0 to below 1, not {args.dropout}")
    if args.batch_tokens < args.seq_len:
        raise ValueError(
            f"--batch-tokens {args.batch_tokens} does not hold one example of {args.seq_len} tokens"
        )
    if args.tokenizer and not args.corpus:
        raise ValueError("--tokenizer is for --corpus; without it the ids are random")


# ---------------------------------------------------------------- batches


def _open_text(
    args: argparse.Namespace, ours: bool, device: torch.device
) -> tuple[ModelConfig, Iterator[Batch]]:
    """Batches of --corpus: of train.py, or whole documents as the baseline takes them."""
    settings = PretrainConfig(
        corpus=tuple(args.corpus),
        tokenizer=args.tokenizer,
        size=args.size,
        objective=args.objective,
        dropout=args.dropout,
        cache=args.cache,
    )
    tokenizer, config = choose_model(settings, set(), None)
    store = open_store(settings.corpus, tokenizer, settings.errors, args.cache)
    text, _ = hold_out(store)

    if not ours:
        max_len = min(args.peer_max_len, config.max_positions)
        return config, baseline_documents(text, config.special, max_len)

    stream = make_stream(text, args.batch_tokens, device, settings.seed, config.special)
    return config, (stream.next(args.seq_len) for _ in itertools.count())


def _make_dense(args: argparse.Namespace) -> tuple[ModelConfig, Iterator[Batch]]:
    """The same batches of random ids for every contender, over and over."""
    config = preset_model_config(
        args.size, args.objective, SIZES[args.size].vocab_size, args.dropout
    )
    rows = args.batch_tokens // args.seq_len
    batches = dense_batches(args.steps, rows, args.seq_len, config.vocab_size)
    return config, itertools.cycle(batches)


# ---------------------------------------------------------------- contenders


def _our_contender(setup: Setup) -> Contender:
    args, device, notes = setup.args, setup.device, []
    model = build(setup.model_config, setup.mask_prob).to(device)

    if args.compile:
        model.compile_networks()
        notes.append("compiled")
    wrapped: nn.Module = model
    if setup.name == "ddp":
        distributed.start(device, PretrainConfig().rank_timeout)
        wrapped = distributed.data_parallel(model)
        notes.append("one rank")
    optimizer = Adam(parameter_groups(wrapped, PretrainConfig().weight_decay))
    graphs = choose_graphs(None if setup.name in ("ours", "saving") else False, device)
    if graphs is not None:
        notes.append("CUDA graphs")

    run = _turn(setup, our_step(wrapped, optimizer, setup.precision, device, graphs))
    if setup.name == "saving":
        notes.append("and a checkpoint that is written meanwhile")
        run = _while_saving(run, model, optimizer)
    size = f"{args.batch_tokens} tokens a step at length {args.seq_len}"
    return _contender(setup, [size, *notes], run)


def _baseline_contender(setup: Setup) -> Contender:
    args = setup.args
    model, loss_of = transformers_pretraining(
        setup.model_config, setup.mask_prob, setup.precision, args.peer_attention
    )
    step = baseline_step(model, loss_of, setup.device, PretrainConfig().weight_decay)

    size = f"{args.batch_tokens} tokens a step at length {args.seq_len}"
    if args.corpus:
        size = (
            f"{DOCUMENTS_PER_BATCH} documents a step, cut at {args.peer_max_len} tokens and padded "
            f"to the longest"
        )
    notes = [
        size,
        f"{args.peer_attention} attention",
        "AdamW",
        "logits at all positions",
        "Gumbel sampling",
    ]
    return _contender(setup, notes, _turn(setup, step))


def _contender(setup: Setup, notes: list[str], run: Callable[[], Workload]) -> Contender:
    model = f"{setup.args.objective} {setup.args.size}"
    note = ", ".join([model, f"amp {setup.precision.name}", *notes])
    return Contender(setup.name, note, run, dtype_name(setup.precision), setup.device)


def _turn(setup: Setup, step: Callable[[Batch], None]) -> Callable[[], Workload]:
    """A turn of --steps steps."""

    def flops(lengths: np.ndarray) -> float:
        return pretraining_flops(setup.model_config, setup.mask_prob, lengths)

    def run() -> Workload:
        batches = itertools.islice(setup.batches, setup.args.steps)
        return go_through(batches, step, setup.device, flops)

    return run


def _while_saving(
    run: Callable[[], Workload], model: Electra | BertMLM, optimizer: Adam
) -> Callable[[], Workload]:
    """A turn that begins to save a checkpoint, as train.py does it, and ends when it is on disk."""
    tokenizer = WordPieceTokenizer(SPECIAL_TOKENS)  # its few bytes beside the weights do not count
    place = tempfile.TemporaryDirectory()
    folder = RunFolder(place.name)

    # The default keeps the folder as long as the contender is there.
    def save_and_run(place: tempfile.TemporaryDirectory[str] = place) -> Workload:
        training = TrainingState(optimizer=optimizer.state_dict())
        folder.save(make_checkpoint(model, tokenizer, PretrainConfig(), training), 0, keep=1)
        workload = run()
        if problem := folder.wait_for_save():
            raise ValueError(f"the checkpoint was not saved: {problem}")
        return workload

    return save_and_run
