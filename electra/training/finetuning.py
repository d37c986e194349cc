"""What fine-tuning sets up before its loop: the task in ids, its start, its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from electra.checkpoint.checkpoint import PRETRAINED, Checkpoint
from electra.checkpoint.location import locate_checkpoint
from electra.checkpoint.run_folder import RunFolder
from electra.checkpoint.storage import load_checkpoint, load_tokenizer_at
from electra.config import (
    SIZES,
    SMALL_STEP,
    FinetuneConfig,
    ModelConfig,
    Origin,
    preset_model_config,
    resolve_finetuning,
    to_dict,
)
from electra.data.examples import Encoded
from electra.data.sentencepiece import train_tokenizer
from electra.data.token_cache import CachedTokenizer, check_usable, is_cached
from electra.data.tokenizer import Tokenizer
from electra.evaluation import results
from electra.model.build import build, check_weights
from electra.tasks.conll import Columns
from electra.tasks.csv_task import CsvSettings
from electra.tasks.known_tasks import default_folder
from electra.tasks.load import load_task
from electra.tasks.task import Example, TaskData, with_both_orders, with_fewer
from electra.tasks.task_file import load_task_file
from electra.training import distributed
from electra.training.distributed import Ranks
from electra.training.kinds import KINDS
from electra.training.log import MetricsLog
from electra.training.machine import Machine
from electra.training.task_kind import TaskKind


@dataclass(frozen=True)
class Prepared:
    """A task in ids, and what every seed starts from."""

    data: TaskData
    encoded: dict[str, Encoded]  # "train", and what `examples` has
    tokenizer: Tokenizer
    model_config: ModelConfig
    checkpoint: Checkpoint | None  # to start from; None for random weights
    class_weights: Tensor | None  # (classes,) float32
    unlabelled: tuple[Example, ...] = ()  # in ids: encoded["unlabelled"]

    @property
    def kind(self) -> TaskKind:
        return KINDS[self.data.task.kind]

    def examples(self, name: str) -> Sequence[Any]:
        """Those of "unlabelled", or of a set of `results.sets_of`."""
        return self.unlabelled if name == "unlabelled" else results.sets_of(self.data)[name]


SMALL_SET = 3_000  # examples; the paper gives RTE, which has fewer, more epochs than the others
# Of fewer examples, steps of more than `SMALL_STEP` are too few (docs/recipes.md).
LARGE_STEPS_FROM = 10_000


def read_start(config: FinetuneConfig) -> tuple[Checkpoint | None, FinetuneConfig]:
    """The pre-trained checkpoint to start from, None for random weights, and settings that name it.

    Raises ValueError for a file that is none, or whose weights are not those of its settings.
    """
    if config.init == "none":
        return None, config
    path = locate_checkpoint(config.init)
    start = load_checkpoint(path, PRETRAINED)
    check_weights(lambda shape: build(shape, 0.15), start.model_config, start.model, path)
    return start, replace(config, init=str(path))


# ---------------------------------------------------------------- the task


def read_task(config: FinetuneConfig) -> TaskData:
    """The task's examples. Raises ValueError where there are too few of them."""
    if config.task_file:
        data = load_task_file(config.task_file, skip_bad=config.skip_bad)
    else:
        if config.task == "csv" and not config.data:
            raise ValueError("--task csv needs --data, a file or a folder")
        columns = tuple(part for name in config.text_columns for part in name.split(","))
        data = load_task(
            config.task,
            config.data or default_folder(config.task),
            csv=CsvSettings(columns, config.label_column, config.label_separator),
            columns=Columns(config.word_column, config.tag_column),
            skip_bad=config.skip_bad,
        )
    return with_fewer(data, config.train_examples)


def check_cache(config: FinetuneConfig, data: TaskData, unlabelled: Sequence[Example] = ()) -> None:
    """Raise OSError where the tokens of a set will go into the cache, and the cache is unusable.

    It is asked before a tokenizer is trained, which may take minutes.
    """
    sets = (data.train, *results.sets_of(data).values(), unlabelled)
    kind = KINDS[data.task.kind]
    texts = ([next(kind.texts(example), "") for example in examples] for examples in sets)
    if any(map(is_cached, texts)):
        check_usable(Path(config.cache))


def fill_in(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None, kept: int = 0
) -> FinetuneConfig:
    """The settings with every None filled in, from the task's row and the model's size.

    kept: how many unlabelled texts a student learns from, beside the examples of the data. Without
    any, its settings stay None.
    """
    filled = _fill_in(config, data, checkpoint, len(data.train))
    if not kept:
        return filled
    of_student = replace(
        config,
        epochs=config.unlabelled_epochs or config.epochs,
        batch_rows=config.unlabelled_batch_rows or config.batch_rows,
    )
    student = _fill_in(of_student, data, checkpoint, len(data.train) + kept)
    return replace(
        filled, unlabelled_epochs=student.epochs, unlabelled_batch_rows=student.batch_rows
    )


def _fill_in(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None, examples: int
) -> FinetuneConfig:
    """The settings of a model that learns from so many examples."""
    epochs = data.task.epochs
    if examples < SMALL_SET:
        epochs = max(data.task.epochs_of_few, epochs)
    if examples < LARGE_STEPS_FROM:
        config = replace(config, batch_rows=config.batch_rows or SMALL_STEP)
    model_config, origin, task = None, Origin(), data.task
    if checkpoint is not None:
        model_config, origin = checkpoint.model_config, checkpoint.origin_now()
    if data.task.kind == "vectors":
        if config.freeze_epochs:
            raise ValueError("--freeze-epochs is for a head, and a task of vectors has none")
        config = replace(config, pooling=config.pooling or "mean")
    config = resolve_finetuning(
        config, model_config, origin, task.name, float(epochs), task.max_len, task.truncate
    )
    if config.truncate == "windows":
        _check_windows(data)
    return config


def _check_windows(data: TaskData) -> None:
    """Raise ValueError where the model does not read single texts as a whole."""
    if data.task.kind not in ("classes", "regression", "labels"):
        raise ValueError(f"--truncate windows is for labels of texts, not for {data.task.kind}")
    if data.train[0].text_b is not None:
        raise ValueError("--truncate windows is for single texts; these are pairs")


def read_class_weights(text: str | None, data: TaskData) -> Tensor | None:
    """--class-weights as a tensor (classes,) float32, None without the flag.

    Where it is "balanced", its mean over the training examples is 1. Raises ValueError for anything
    but one positive number a class.
    """
    if text is None:
        return None
    if KINDS[data.task.kind].label_counts(data) is None:
        what = "a regression" if data.task.regression else f"of {data.task.kind}"
        raise ValueError(f"--class-weights is for classes; this task is {what}")
    if text == "balanced":
        return _balanced(data)
    try:
        weights = torch.tensor([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(
            f"--class-weights {text!r} is neither balanced nor numbers such as 1,2.5"
        ) from None
    if len(weights) != len(data.labels) or not (weights > 0).all() or not weights.isfinite().all():
        raise ValueError(
            f"--class-weights {text}: {len(data.labels)} numbers above 0 are needed, for "
            f"{', '.join(data.labels)}"
        )
    return weights


def _balanced(data: TaskData) -> Tensor:
    """Weights by which every class counts the same."""
    counts = KINDS[data.task.kind].label_counts(data)
    assert counts is not None
    if counts.min() == 0:
        raise ValueError(
            f"--class-weights balanced: no training example has the label "
            f"{data.labels[int(counts.argmin())]!r}"
        )
    return torch.tensor(counts.sum() / (len(counts) * counts), dtype=torch.float32)


def choose_model(
    config: FinetuneConfig, data: TaskData, checkpoint: Checkpoint | None
) -> tuple[Tokenizer, ModelConfig]:
    """Tokenizer and model config: the checkpoint's; for random weights those of the settings.

    Raises ValueError where --max-len is beyond the model, or a step cannot hold a text that long.
    """
    if checkpoint is not None:
        tokenizer, model_config = checkpoint.tokenizer, checkpoint.model_config
    else:
        tokenizer = _choose_tokenizer(config, data)
        model_config = preset_model_config(
            config.size,
            "mlm",
            tokenizer.vocab_size,
            attention_init=config.attention_init,
            special=tokenizer.special,
        )

    assert config.max_len is not None and config.pooling is not None
    if config.max_len > model_config.max_positions:
        raise ValueError(
            f"--max-len {config.max_len} is beyond the model's {model_config.max_positions} "
            f"positions"
        )
    pairs = data.task.kind == "vectors"  # both texts of a pair are in one step
    if config.max_len * (1 + pairs) > config.batch_tokens:
        raise ValueError(
            f"--batch-tokens {config.batch_tokens} does not hold one {'pair' if pairs else 'text'} "
            f"of --max-len "
            f"{config.max_len}"
        )
    return tokenizer, replace(
        model_config,
        dropout=config.dropout,
        attention_dropout=config.dropout,
        pooling=config.pooling,
    )


def _choose_tokenizer(config: FinetuneConfig, data: TaskData) -> Tokenizer:
    """The tokenizer that --tokenizer names, or one trained on the task's texts."""
    if config.tokenizer:
        return load_tokenizer_at(config.tokenizer)
    kind = KINDS[data.task.kind]
    texts = (text for example in data.train for text in kind.texts(example))
    return train_tokenizer(texts, config.vocab_size or SIZES[config.size].vocab_size)


def encode_sets(
    config: FinetuneConfig,
    data: TaskData,
    unlabelled: Sequence[Example],
    tokenizer: Tokenizer,
    ranks: Ranks,
) -> dict[str, Encoded]:
    """The training examples and all that the model predicts in ids, by name."""
    sets = {"train": with_both_orders(data.train) if data.task.both_orders else data.train}
    sets |= results.sets_of(data)
    if unlabelled:
        sets["unlabelled"] = list(unlabelled)
    encoder, kind = CachedTokenizer(tokenizer, config.cache), KINDS[data.task.kind]
    with ranks.rank0_first():  # the others find the tokens in the cache
        return {
            name: kind.encode(encoder, examples, data, config) for name, examples in sets.items()
        }


# ---------------------------------------------------------------- the run folder


def open_folder(config: FinetuneConfig, ranks: Ranks) -> RunFolder | None:
    """The run folder without an earlier result, on the first rank alone.

    Raises ValueError where there is one already, and no --force.
    """
    assert config.out is not None
    if not ranks.first:
        return None
    folder = RunFolder(config.out, replace=config.force or distributed.restarted())
    (folder.path / "result.json").unlink(missing_ok=True)
    return folder


def begin_log(
    folder: RunFolder | None, config: FinetuneConfig, prepared: Prepared, machine: Machine
) -> MetricsLog | None:
    """Write config.json, and begin metrics.jsonl; None on ranks that have no folder."""
    if folder is None:
        return None
    settings = {**to_dict(config), "model": to_dict(prepared.model_config)}
    folder.write_json("config.json", {**settings, "amp_used": machine.precision.name})
    return MetricsLog(folder.path, step=-1)  # no line of an earlier run stays


def smaller_batches(config: FinetuneConfig) -> str:
    """What to try where a step does not fit into memory."""
    assert config.max_len is not None
    if config.truncate == "windows":
        return "a smaller --max-len"  # a step has one text at least, with all its windows
    half = config.batch_tokens // 2
    return f"--batch-tokens {half}" if half >= config.max_len else "a smaller --max-len"
