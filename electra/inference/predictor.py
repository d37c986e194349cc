"""A checkpoint that is ready to judge texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from electra.checkpoint.checkpoint import FINE_TUNED, Checkpoint, check_finite
from electra.checkpoint.checkpoint import KINDS as CHECKPOINT_KINDS
from electra.checkpoint.storage import load_checkpoint
from electra.config import (
    FinetuneConfig,
    ModelConfig,
    PretrainConfig,
    from_dict,
    longest_phase,
)
from electra.data.batch import Padding
from electra.data.examples import MOST_WINDOWS, Encoded
from electra.data.tokenizer import Tokenizer
from electra.evaluation.scoring import Outputs
from electra.model.build import with_weights
from electra.model.electra import Electra
from electra.model.fine_tuned import FineTunedModel
from electra.model.side_by_side import NumberedBatch, predict_batches
from electra.tasks.task import Kind, Task, TaskData
from electra.training.device import (
    Precision,
    choose_device,
    choose_precision,
    use_available_cores,
)
from electra.training.kinds import KINDS
from electra.training.task_kind import TaskKind

# Default tokens of a batch; on a CPU fewer, so that it fits the caches.
BATCH_TOKENS, CPU_BATCH_TOKENS = 8_192, 2_048
MIN_LENGTH = 8
# The widths of batches are multiples of this. GPUs multiply eights faster, and a CPU prepares
# itself for each new shape of a batch.
WIDTHS = 8
# What a batch costs a CPU beside its tokens, in tokens: for a sentence alone a tiny model takes 6
# ms, and for the same tokens in a batch 1 ms. A GPU would rather read padding.
CPU_BATCH_COST = 150


class TaskSettings(NamedTuple):
    """What a fine-tuned model's texts were in training, and what its outputs mean."""

    data: TaskData  # its kind, labels and scale, without examples
    thresholds: tuple[float, ...]  # as in `Checkpoint`
    pairs: bool  # whether it reads two texts
    clean_reviews: bool  # whether `<br />` became a line break
    config: FinetuneConfig

    @property
    def kind(self) -> TaskKind:
        return KINDS[self.data.task.kind]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.data.labels


class Predictor(NamedTuple):
    """A model in evaluation mode, and how it takes its texts."""

    model: FineTunedModel | Electra
    tokenizer: Tokenizer
    task: TaskSettings | None  # of a fine-tuned model; None for an ELECTRA
    max_len: int  # tokens of an example
    batch_tokens: int
    device: torch.device
    precision: Precision

    @property
    def most_tokens(self) -> int:
        """Tokens of a text that are read, at most."""
        whole = self.task is not None and self.task.config.truncate == "windows"
        return self.max_len * (MOST_WINDOWS if whole else 1)


def load_predictor(
    path: str | Path,
    max_len: int | None = None,
    batch_tokens: int | None = None,
    device: str = "auto",
    amp: str = "auto",
) -> Predictor:
    """Read a checkpoint of finetune.py, or of train.py with ELECTRA.

    `max_len` None: as in training, since positions beyond have learned nothing. Raises ValueError
    for a BERT, a file that cannot be read, weights that are not finite, lengths that do not fit
    the model, and a device that is not there.
    """
    checkpoint = load_checkpoint(path, CHECKPOINT_KINDS)
    if checkpoint.kind == "mlm":
        raise ValueError(
            f"{path} is a BERT, which does not tell replaced words: a replaced-token view needs an "
            f"ELECTRA checkpoint (train.py --objective electra); for labels, fine-tune this one "
            f"with finetune.py --init"
        )
    config = checkpoint.model_config
    trained_len, task_settings = read_settings(checkpoint, max_len, path)
    model = _load_model(checkpoint, task_settings, path)

    use_available_cores()
    chosen = choose_device(device)
    max_len = max_len or trained_len
    batch_tokens = batch_tokens or default_batch_tokens(max_len, chosen)
    check_lengths(max_len, batch_tokens, config)
    check_finite(checkpoint.model, path)
    return Predictor(
        model.to(chosen).eval(),
        checkpoint.tokenizer,
        task_settings,
        max_len,
        batch_tokens,
        chosen,
        choose_precision(amp, chosen),
    )


def default_batch_tokens(max_len: int, device: torch.device) -> int:
    """Tokens of a batch on a device; at least one example of `max_len`."""
    return max(max_len, CPU_BATCH_TOKENS if device.type == "cpu" else BATCH_TOKENS)


def check_lengths(max_len: int, batch_tokens: int, config: ModelConfig) -> None:
    """Raises ValueError for lengths that do not fit the model or each other."""
    if not MIN_LENGTH <= max_len <= config.max_positions:
        raise ValueError(
            f"--max-len {max_len} is outside {MIN_LENGTH} to {config.max_positions}, the model's "
            f"positions"
        )
    if batch_tokens < max_len:
        raise ValueError(
            f"--batch-tokens {batch_tokens} does not hold one example of --max-len {max_len}"
        )


def read_settings(
    checkpoint: Checkpoint, max_len: int | None, path: str | Path
) -> tuple[int, TaskSettings | None]:
    """(the longest examples of the training, a fine-tuned model's settings).

    Raises ValueError, with `path`, for settings that do not say how long the examples are, where
    `max_len` does not either.
    """
    try:
        return _read_settings(checkpoint, max_len)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None


def _read_settings(checkpoint: Checkpoint, max_len: int | None) -> tuple[int, TaskSettings | None]:
    if checkpoint.kind not in FINE_TUNED:
        pretraining = from_dict(PretrainConfig, checkpoint.settings)
        max_positions = checkpoint.model_config.max_positions
        return longest_phase(pretraining.seq_len, pretraining.phases, max_positions), None

    finetuning = from_dict(FinetuneConfig, checkpoint.settings)
    trained_len = finetuning.max_len or max_len
    if trained_len is None:
        raise ValueError("its settings have max_len None")
    max_len = max_len or trained_len
    return trained_len, TaskSettings(
        data=_task_data(checkpoint, finetuning.task),
        thresholds=checkpoint.thresholds,
        pairs=checkpoint.pairs,
        clean_reviews=finetuning.task == "imdb",
        config=replace(finetuning, max_len=max_len, truncate=finetuning.truncate or "head"),
    )


def _task_data(checkpoint: Checkpoint, name: str) -> TaskData:
    """The task of a fine-tuned checkpoint, without examples."""
    kind: Kind = "classes"
    if checkpoint.kind == "tagger":
        kind = "tags"
    elif checkpoint.kind == "reader":
        kind = "spans"
    elif checkpoint.kind == "embedder":
        kind = "vectors"
    elif checkpoint.scale is not None:
        kind = "regression"
    elif checkpoint.thresholds:
        kind = "labels"
    labels = checkpoint.labels
    task = Task(name, labels, labels, kind=kind, scale=checkpoint.scale)
    return TaskData(task, labels, [], [], None)


def _load_model(
    checkpoint: Checkpoint, task_settings: TaskSettings | None, path: str | Path
) -> FineTunedModel | Electra:
    def make(config: ModelConfig) -> nn.Module:
        if task_settings is None:
            return Electra(config)
        return task_settings.kind.make_model(config, task_settings.data)

    model = with_weights(make, checkpoint.model_config, checkpoint.model, path)
    assert isinstance(model, (FineTunedModel, Electra))
    return model


def outputs_of(predictor: Predictor, examples: list[Any]) -> Outputs:
    """What a fine-tuned model says of examples of its task, as `Scoring` describes it."""
    task, model = predictor.task, predictor.model
    assert task is not None and isinstance(model, FineTunedModel)
    encoded = task.kind.encode(predictor.tokenizer, examples, task.data, task.config)
    rows: list[np.ndarray] = [np.zeros(0)] * len(encoded.lengths)
    batches, autocast = batches_of(encoded, predictor), predictor.precision.autocast
    for numbers, values in predict_batches(
        lambda batch: task.kind.activate(model.logits(batch)), batches, predictor.device, autocast
    ):
        for number, row in zip(numbers, values, strict=True):
            rows[number] = row[: len(encoded.ids[number])] if model.per_token else row
    outputs = task.kind.outputs(task.data, examples, encoded, rows)
    return task.kind.with_thresholds(outputs, task.thresholds)


def batches_of(encoded: Encoded, predictor: Predictor) -> Iterator[NumberedBatch]:
    """Examples of like length together."""
    return read_batches(encoded, predictor.batch_tokens, predictor.max_len, predictor.device)


def read_batches(
    encoded: Encoded, batch_tokens: int, max_len: int, device: torch.device
) -> Iterator[NumberedBatch]:
    """All examples, in batches that take the least time on this device."""
    padding = Padding(WIDTHS, max_len)
    cost = CPU_BATCH_COST if device.type == "cpu" else batch_tokens
    for rows in encoded.cheapest_batches(batch_tokens, padding, cost):
        yield NumberedBatch(rows, encoded.batch(rows, padding).to(device))


def round_probability(p: float) -> float:
    """As many digits as an answer shows."""
    return round(float(p), 6)
