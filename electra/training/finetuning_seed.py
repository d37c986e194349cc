"""Fine-tuning with one seed: its model, its stages and epochs, and the score of each epoch."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from electra.checkpoint.checkpoint import load_encoder
from electra.config import FinetuneConfig
from electra.data.batch import Batch, Padding
from electra.data.examples import Encoded
from electra.data.waiting import Waiting
from electra.evaluation import results
from electra.evaluation.results import Outcome
from electra.evaluation.scoring import Outputs
from electra.model.fine_tuned import FineTunedModel
from electra.model.side_by_side import NumberedBatch, predict_batches
from electra.training import distributed
from electra.training.distributed import Ranks
from electra.training.finetuning import Prepared
from electra.training.log import MetricsLog
from electra.training.loss_scale import LossScale
from electra.training.machine import Machine
from electra.training.optimizer import Adam, parameter_groups
from electra.training.schedule import lr_factor, warmup_factor
from electra.training.seeds import CLASSIFIER_TAG, derive_seed
from electra.training.step import Learner

EVALUATION_TOKENS = 8_192
# Widths of batches are multiples of it. A smaller number would save padding, but the examples of a
# batch would be of one length, and where lengths go with labels, of one class.
MULTIPLE = 8
RED, PLAIN = "\033[31m", "\033[0m"


class Best(NamedTuple):
    """The best epoch so far, by the main metric on the held-out part."""

    score: float
    state: dict[str, Tensor]  # weights, on the host
    outputs: Outputs  # of the held-out part, as `predict` returns them
    thresholds: tuple[float, ...]  # chosen on it
    round: int  # of `SeedRun`


@dataclass
class SeedRun:
    """One seed's run. The loop changes all but the first four."""

    seed: int
    config: FinetuneConfig
    prepared: Prepared
    machine: Machine
    model: FineTunedModel
    step: int = 0  # optimizer steps done, over all stages
    train_loss: float = 0.0  # mean of the last epoch
    score: float = 0.0  # of the last epoch, on the held-out part
    head_score: float | None = None  # the best of the epochs with the head alone
    best: Best | None = None
    round: int = 0  # how often unlabelled texts were labelled before
    labelled_score: float | None = None  # the best before the first round

    @property
    def name(self) -> str:
        """What stands on the screen for this run."""
        return f"seed {self.seed}" + (f", round {self.round}" if self.round else "")

    def batch(self, rows: np.ndarray) -> Batch:
        """A batch of training examples, from their indices, on the device."""
        batch = self.prepared.encoded["train"].batch(rows, padding_of(self.config))
        return batch.to(self.machine.device)


def padding_of(config: FinetuneConfig) -> Padding:
    """How wide the batches of a task are."""
    assert config.max_len is not None
    return Padding(MULTIPLE, config.max_len)


class Stage(NamedTuple):
    """Epochs in which the same parameters learn, under one learning rate schedule."""

    frozen: bool  # whether the head learns alone
    epochs: float
    steps: int

    @property
    def name(self) -> str:
        """What stands before "epoch" on the screen."""
        return "head " if self.frozen else ""


def begin_seed(seed: int, config: FinetuneConfig, prepared: Prepared, machine: Machine) -> SeedRun:
    """A model with a new head, drawn by the seed, on the device."""
    torch.manual_seed(derive_seed(seed, CLASSIFIER_TAG))
    model = prepared.kind.make_model(prepared.model_config, prepared.data, prepared.class_weights)
    model.to(machine.device)
    if prepared.checkpoint is not None:
        load_encoder(model, prepared.checkpoint)
    return SeedRun(seed, config, prepared, machine, model)


# ---------------------------------------------------------------- stages and epochs


def stages_of(run: SeedRun) -> list[Stage]:
    """The head alone for --freeze-epochs, then everything for --epochs."""
    config = run.config
    assert config.epochs is not None
    per_epoch = len(epoch_plan(run.prepared.encoded["train"], config, run.seed, 0))
    return [
        Stage(frozen, epochs, max(1, round(epochs * per_epoch)))
        for frozen, epochs in ((True, config.freeze_epochs), (False, config.epochs))
        if epochs > 0
    ]


def begin_stage(run: SeedRun, stage: Stage) -> Learner:
    """Freeze the encoder or let it learn, with a new optimizer."""
    config, machine, model = run.config, run.machine, run.model
    assert config.layer_decay is not None
    for part in model.encoder_state():
        part.requires_grad_(not stage.frozen)
    num_layers = run.prepared.model_config.num_layers
    groups = parameter_groups(model, config.weight_decay, config.layer_decay, num_layers)
    return Learner(
        distributed.wrap(model, machine.ranks),  # anew: it looks once at which parameters learn
        Adam(groups),
        LossScale(machine.precision, machine.device),
        machine.precision,
        machine.ranks,
    )


def epochs_of(run: SeedRun, stage: Stage) -> Iterator[list[np.ndarray]]:
    """The batches of each epoch of a stage, as indices of training examples; the last one may be
    a part of an epoch."""
    train, left = run.prepared.encoded["train"], stage.steps
    for epoch in range(math.ceil(stage.epochs) + 1):
        batches = epoch_plan(train, run.config, run.seed, epoch + 1000 * stage.frozen)[:left]
        if not batches:
            return
        left -= len(batches)
        yield batches


def epoch_plan(train: Encoded, config: FinetuneConfig, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch, as indices of examples: a function of (seed, epoch)."""
    rng = np.random.default_rng([seed, epoch])
    return train.batches(config.batch_tokens, padding_of(config), rng, config.batch_rows)


def lr_of(config: FinetuneConfig, stage: Stage, done: int) -> float:
    """The learning rate of a step, after `done` steps of its stage."""
    assert config.lr is not None
    warmup = warmup_factor(done, round(config.warmup * stage.steps))
    return config.lr * lr_factor(warmup, done / stage.steps)


def progress_bar(run: SeedRun, what: str, steps: int) -> Waiting:
    """Shows on the first rank how far the work has come. what: its name on the screen."""
    silent = not run.machine.ranks.first
    return Waiting(f"{run.name}, {what}", steps, " steps", keep=False, silent=silent)


# ---------------------------------------------------------------- scores


def end_epoch(
    run: SeedRun,
    stage: Stage,
    epoch: int,
    sums: dict[str, Tensor],
    skipped: Tensor,
    log: MetricsLog | None,
) -> None:
    """Score an epoch on the held-out part, log it, and keep it where it is the best so far.

    epoch: counted from 0. sums: of the epoch's steps, on this rank. skipped: steps of the stage
    without a finite gradient, 0-d.
    """
    data, ranks = run.prepared.data, run.machine.ranks
    loss, count = (ranks.gather(float(sums[name])) for name in ("loss", "weight"))
    run.train_loss = sum(loss) / sum(count)
    outputs = predict(run, "dev")
    thresholds = run.prepared.kind.choose_thresholds(data, outputs)
    outputs = run.prepared.kind.with_thresholds(outputs, thresholds)
    values, remarks = results.scores(data.task, data.dev, outputs)
    run.score = values[data.task.metric]

    if log is not None:
        record: dict[str, Any] = {"seed": run.seed, "epoch": epoch + 1, "frozen": stage.frozen}
        if run.prepared.unlabelled:
            record["round"] = run.round
        record |= {"train_loss": run.train_loss, **values, "skipped_steps": int(skipped)}
        log.write(run.step, "valid", record)
    tqdm.write(
        f"{run.name}, {stage.name}epoch {epoch + 1}: training loss {run.train_loss:.4f}, "
        f"held out {run.score:.2%}" + "".join(f" ({remark})" for remark in remarks)
    )
    if stage.frozen and run.round == 0:
        before = run.score if run.head_score is None else run.head_score
        run.head_score = max(run.score, before)
    if run.best is None or run.score > run.best.score:
        weights = run.model.state_dict()
        state = {name: value.detach().cpu().clone() for name, value in weights.items()}
        run.best = Best(run.score, state, outputs, thresholds, run.round)


def predict(run: SeedRun, name: str) -> Outputs:
    """What the model says of each example of a set, as `Scoring` describes it."""
    prepared, machine, padding = run.prepared, run.machine, padding_of(run.config)
    encoded = prepared.encoded[name]
    shared = machine.ranks.share(encoded.batches(EVALUATION_TOKENS, padding, None))
    batches = (
        NumberedBatch(numbers, encoded.batch(numbers, padding).to(machine.device))
        for numbers in shared
    )
    model, activate = run.model.eval(), prepared.kind.activate
    predicted = predict_batches(
        lambda batch: activate(model.logits(batch)),
        batches,
        machine.device,
        machine.precision.autocast,
    )
    bar = progress_bar(run, f"scoring {name}", len(shared))
    rows = put_together(bar.over(predicted), encoded, model.per_token, machine.ranks)
    return prepared.kind.outputs(prepared.data, prepared.examples(name), encoded, rows)


def put_together(
    predicted: Iterable[tuple[np.ndarray, np.ndarray]],
    encoded: Encoded,
    per_token: bool,
    ranks: Ranks,
) -> list[np.ndarray]:
    """The values of each row of `encoded`, (L,) or, per token, (T, L), float32, of all ranks.

    predicted: numbers of rows with their values, (B, L) or (B, T, L), of this rank.
    """
    tokens = encoded.lengths if per_token else np.ones_like(encoded.lengths)
    ends = np.cumsum(tokens)
    flat: np.ndarray | None = None  # (sum of the rows' tokens, L)
    for numbers, values in predicted:
        if flat is None:
            flat = np.zeros((int(ends[-1]), values.shape[-1]), np.float32)
        for row, value in zip(numbers, values, strict=True):
            value = value.reshape(-1, values.shape[-1])[: tokens[row]]
            flat[ends[row] - tokens[row] : ends[row]] = value

    parts = [part for part in ranks.gather(flat) if part is not None]
    total = sum(parts)  # each rank's are 0 in the others' rows
    rows = np.split(total, ends[:-1])
    return rows if per_token else [row[0] for row in rows]


def end_seed(run: SeedRun) -> Outcome:
    """The scores of the run, and what its best epoch predicts for every set."""
    best, kind = run.best, run.prepared.kind
    assert best is not None
    run.model.load_state_dict(best.state)
    if best.round < run.round:
        tqdm.write(
            f"seed {run.seed}: round {run.round} is no better than what was before, which stays"
        )
    others = [name for name in results.sets_of(run.prepared.data) if name != "dev"]
    return Outcome(
        seed=run.seed,
        outputs={
            "dev": best.outputs,
            **{name: kind.with_thresholds(predict(run, name), best.thresholds) for name in others},
        },
        dev=best.score,
        dev_last=run.score,
        dev_head=run.head_score,
        dev_labelled=run.labelled_score,
        state=best.state,
        thresholds=best.thresholds,
        collapse=find_collapse(run),
    )


def find_collapse(run: SeedRun) -> str:
    """How it shows that the best model has learned nothing, as `collapse_of`.

    A round begins only after one that has learned something, so the best of an earlier one has.
    """
    assert run.best is not None
    if run.best.round < run.round:
        return ""
    return collapse_of(run.prepared, run.best.outputs, run.train_loss)


def collapse_of(prepared: Prepared, outputs: Outputs, loss: float) -> str:
    """How it shows that a model has learned nothing; empty where it has learned something.

    It says the same of all held-out examples, or its training loss is no better than that of always
    answering with the classes' shares.
    """
    kind, data = prepared.kind, prepared.data
    if kind.is_constant(data, outputs):
        return kind.constant
    unread = kind.unread_loss(data, prepared.class_weights)
    if unread is not None and loss >= 0.999 * unread:
        return "its training loss is no better than without reading the texts"
    return ""


def say_red(text: str) -> None:
    """Print a warning: red on a terminal."""
    tqdm.write(f"{RED}{text}{PLAIN}" if sys.stdout.isatty() else f"WARNING: {text}")
