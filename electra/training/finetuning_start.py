"""What fine-tuning prints before its loop: the task, the classes, what is cut, the defaults."""

from __future__ import annotations

from electra.checkpoint.checkpoint import Checkpoint
from electra.config import (
    FinetuneConfig,
    describe_model,
    finetune_defaults,
    preset_finetune_defaults,
)
from electra.data.examples import MOST_WINDOWS
from electra.evaluation import results
from electra.tasks.labels import class_lines
from electra.tasks.task import TaskData
from electra.training.finetuning import Prepared
from electra.training.machine import Machine
from electra.training.self_training import kept_at_most


def print_start(config: FinetuneConfig, prepared: Prepared, machine: Machine) -> None:
    """Say what is learned, from what and where."""
    data, ranks = prepared.data, machine.ranks
    start = "random weights" if prepared.checkpoint is None else config.init
    print(
        f"{data.task.name}: {len(data.train):,} to learn from, {len(data.dev):,} held out"
        + (f", {len(data.test):,} {_purpose_of_test(data)}" if data.test else "")
        + (f", {data.skipped:,} lines left out" if data.skipped else "")
        + f"; from {start}, on {machine.device} (amp {machine.precision.name}"
        + (f", {ranks.world_size} ranks" if ranks.world_size > 1 else "")
        + f"), into {config.out}",
        flush=True,
    )
    lines = (
        *class_lines(data),
        *_cut_lines(config, prepared),
        *_unlabelled_lines(config, prepared),
    )
    for line in lines:
        print(line, flush=True)
    print_defaults(config, prepared.checkpoint)


def _purpose_of_test(data: TaskData) -> str:
    assert data.test is not None
    return "to test on" if results.is_labelled(data, data.test) else "without labels to predict"


def _cut_lines(config: FinetuneConfig, prepared: Prepared) -> list[str]:
    """What --max-len cuts off the training set; no line where it cuts nothing."""
    train = prepared.encoded["train"]
    if not train.cut_examples:
        return []
    copies = 2 if prepared.data.task.both_orders else 1
    share = train.cut_tokens / (train.cut_tokens + sum(map(len, train.ids)))
    windows = f"{MOST_WINDOWS} windows of " if config.truncate == "windows" else ""
    return [
        f"{train.cut_examples // copies:,} of {len(prepared.data.train):,} training texts are "
        f"longer than {windows}--max-len {config.max_len}: {share:.1%} of the tokens are cut "
        f"(--truncate {config.truncate})"
    ]


def _unlabelled_lines(config: FinetuneConfig, prepared: Prepared) -> list[str]:
    """What is done with the unlabelled texts; no line without any."""
    texts = prepared.unlabelled
    if not texts:
        return []
    rounds = f"up to {config.rounds} times" if config.rounds > 1 else "once"
    return [
        f"{len(texts):,} unlabelled texts will be labelled {rounds}; then a new model learns from "
        f"up to {kept_at_most(config, texts):,} of them too (epochs: {config.unlabelled_epochs:g})"
    ]


def print_defaults(config: FinetuneConfig, checkpoint: Checkpoint | None) -> None:
    """Say which settings are defaults, and of what kind of model."""
    if checkpoint is None:
        defaults, model = preset_finetune_defaults(config.size), f"random weights, {config.size}"
    else:
        model_config, origin = checkpoint.model_config, checkpoint.origin_now()
        defaults = finetune_defaults(model_config, origin)
        model = describe_model(model_config, origin)
    taken = [
        f"{name.replace('_', ' ')} {value}"
        for name, value in defaults._asdict().items()
        if getattr(config, name) == value
    ]
    if taken:
        print(f"defaults: {', '.join(taken)}, for {model}", flush=True)
