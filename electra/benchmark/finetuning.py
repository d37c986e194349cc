"""Contenders in fine-tuning: the epochs of finetune.py, and those of the baseline."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.benchmark.baseline import (
    ROWS_PER_BATCH,
    baseline_device,
    baseline_step,
    transformers_classifier,
)
from electra.benchmark.contender import Contender, Workload
from electra.benchmark.steps import dtype_name, go_through, our_step
from electra.config import FinetuneConfig, ModelConfig
from electra.data.batch import Batch, Padding
from electra.data.examples import Encoded
from electra.data.token_cache import CachedTokenizer
from electra.model.classifier import Classifier
from electra.model.flops import encoder_flops
from electra.tasks.task import with_fewer
from electra.training.device import Precision, choose_device, choose_precision
from electra.training.finetuning import choose_model, fill_in, read_task
from electra.training.finetuning_seed import MULTIPLE, epoch_plan
from electra.training.kinds import KINDS
from electra.training.optimizer import Adam, parameter_groups


class Setup(NamedTuple):
    """What a contender trains on, and where."""

    args: argparse.Namespace  # the flags of `bench.py finetune`
    name: str
    device: torch.device
    config: FinetuneConfig
    model_config: ModelConfig
    examples: Encoded
    classes: int


def finetuning_contender(args: argparse.Namespace, name: str) -> Contender:
    """Make the contender `name` for the flags of `bench.py finetune`.

    "usual" is the baseline loop around this project's model, "transformers" the same loop around
    that library's. Raises ValueError for what cannot be trained.
    """
    device = choose_device(args.device) if name == "ours" else baseline_device(args.device)
    setup = _read_examples(args, name, device)
    if name == "ours":
        return _our_contender(setup)
    return _baseline_contender(setup)


def _read_examples(args: argparse.Namespace, name: str, device: torch.device) -> Setup:
    """Draw --examples of the training set, and tokenise them."""
    config = FinetuneConfig(
        task=args.task,
        data=args.data,
        size=args.size,
        tokenizer=args.tokenizer,
        max_len=args.max_len,
        cache=args.cache,
    )
    data = read_task(config)
    data = with_fewer(data, min(args.examples, len(data.train)))

    config = fill_in(config, data, None)
    tokenizer, model_config = choose_model(config, data, None)
    cached = CachedTokenizer(tokenizer, args.cache)
    examples = KINDS[data.task.kind].encode(cached, data.train, data, config)
    return Setup(args, name, device, config, model_config, examples, len(data.labels))


def _our_contender(setup: Setup) -> Contender:
    config, examples = setup.config, setup.examples
    assert config.layer_decay is not None  # filled in
    precision = choose_precision(setup.args.amp, setup.device)
    model = Classifier(setup.model_config, setup.classes).to(setup.device)
    groups = parameter_groups(
        model, config.weight_decay, config.layer_decay, setup.model_config.num_layers
    )
    step = our_step(model, Adam(groups), precision, setup.device)

    epochs = (epoch_plan(examples, config, config.seeds[0], epoch) for epoch in itertools.count())
    run = _turn(setup, step, epochs, MULTIPLE)
    note = (
        f"steps of at most {config.batch_rows} examples and {config.batch_tokens} tokens of like "
        f"length"
    )
    return _contender(setup, precision, note, run)


def _baseline_contender(setup: Setup) -> Contender:
    precision = choose_precision("off", setup.device)
    if setup.name == "transformers":
        model, loss_of = transformers_classifier(
            setup.model_config, setup.classes, setup.args.peer_attention
        )
    else:
        model, loss_of = _our_classifier(setup)
    step = baseline_step(model, loss_of, setup.device, setup.config.weight_decay)

    run = _turn(setup, step, _random_epochs(len(setup.examples.ids)), multiple=1)
    note = f"steps of {ROWS_PER_BATCH} examples in random order, padded to the longest, AdamW"
    return _contender(setup, precision, note, run)


def _our_classifier(setup: Setup) -> tuple[nn.Module, Callable[[Batch], Tensor]]:
    """This project's model, and its mean loss of a batch, a float32 scalar."""
    model = Classifier(setup.model_config, setup.classes).to(setup.device)

    def loss_of(batch: Batch) -> Tensor:
        assert batch.labels is not None
        return F.cross_entropy(model.logits(batch), batch.labels)

    return model, loss_of


def _random_epochs(count: int) -> Iterator[list[np.ndarray]]:
    """Epochs without end, each of them batches of row numbers, (ROWS_PER_BATCH,) int64."""
    rng = np.random.default_rng(0)
    while True:
        yield np.split(rng.permutation(count), range(ROWS_PER_BATCH, count, ROWS_PER_BATCH))


def _turn(
    setup: Setup,
    step: Callable[[Batch], None],
    epochs: Iterator[list[np.ndarray]],
    multiple: int,
) -> Callable[[], Workload]:
    """A turn of one epoch. Widths of batches are multiples of `multiple`."""

    config = setup.model_config

    def flops(lengths: np.ndarray) -> float:
        return 3 * encoder_flops(config, lengths, first_alone=config.pooling == "cls")

    def run() -> Workload:
        longest = setup.config.max_len
        assert longest is not None  # filled in
        padding = Padding(multiple, longest)
        batches = (setup.examples.batch(rows, padding) for rows in next(epochs))
        return go_through(batches, step, setup.device, flops)

    return run


def _contender(
    setup: Setup, precision: Precision, note: str, run: Callable[[], Workload]
) -> Contender:
    trained = f"{setup.args.task} {setup.args.size}, {len(setup.examples.ids)} examples"
    note = f"{trained}, amp {precision.name}, {note}"
    return Contender(setup.name, note, run, dtype_name(precision), setup.device)
