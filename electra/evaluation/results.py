"""What a fine-tuning leaves behind: scores, result.json, and the tables of predictions.

    result.json             scores of each seed and their spread, calibration and confusion of the
                            best seed, settings
    predictions.tsv         of the best seed: text, gold, prediction, probabilities; the worst
                            errors first
    <set>_predictions.tsv   predictions of every seed, in the order of the task's file; <set> is
                            dev, test or a further set of the task

N: examples of a set, C: classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from electra.evaluation.calibration import expected_calibration_error, log_loss
from electra.evaluation.classification import confusion_matrix
from electra.evaluation.metrics import METRICS
from electra.evaluation.statistics import mean_sd, median
from electra.tasks.task import Example, Task, TaskData

TABULATED_SETS = ("dev", "test")  # of predictions.tsv


class Outcome(NamedTuple):
    """The run of one seed."""

    seed: int
    # By set ("dev", perhaps "test", and the task's further sets): probabilities (N, C), or the
    # values (N, 1) of a regression, float32.
    outputs: dict[str, np.ndarray]
    dev: float  # the main metric of the best epoch
    dev_last: float  # of the last epoch, chosen or not
    dev_head: float | None  # of the best epoch that trains only the head
    state: dict[str, Any]  # weights of the best epoch
    collapsed: bool
    retried: bool = False


def sets_of(data: TaskData) -> dict[str, list[Example]]:
    """Every set that a model is scored on or predicts, by name."""
    return {"dev": data.dev, **({"test": data.test} if data.test else {}), **data.more}


def is_labelled(examples: Sequence[Example]) -> bool:
    """Whether a set has labels; the test sets of GLUE have none."""
    label = examples[0].label
    return not (math.isnan(label) if isinstance(label, float) else label < 0)


def predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """(N, C) -> the most probable class (N,) int64; of a regression (N, 1) -> the value (N,)."""
    return outputs[:, 0] if task.regression else outputs.argmax(1)


def scores(
    task: Task, examples: Sequence[Example], outputs: np.ndarray
) -> tuple[dict[str, float], list[str]]:
    """Every metric of the task, the main one first, and the warnings of undefined metrics.

    The set must be labelled. outputs as in `Outcome`.
    """
    gold, predicted = [example.label for example in examples], predictions(task, outputs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = {name: METRICS[name](gold, predicted) for name in (task.metric, *task.also)}
    return values, [str(warning.message) for warning in caught]


def majority_score(data: TaskData) -> float:
    """The score on dev, by the task's metric, of always predicting the commonest label of dev."""
    counts = np.bincount([int(example.label) for example in data.dev], minlength=len(data.labels))
    outputs = np.tile(np.eye(len(data.labels))[counts.argmax()], (len(data.dev), 1))
    return scores(data.task, data.dev, outputs)[0][data.task.metric]


# ---------------------------------------------------------------- result.json


def summary(
    data: TaskData, outcomes: list[Outcome], best: Outcome, seconds: float, settings: dict[str, Any]
) -> dict[str, Any]:
    """The content of result.json."""
    task = data.task
    by_set = {
        name: [scores(task, examples, outcome.outputs[name])[0] for outcome in outcomes]
        for name, examples in sets_of(data).items()
        if is_labelled(examples)
    }
    dev = [outcome.dev for outcome in outcomes]
    test = [values[task.metric] for values in by_set.get("test", ())]
    dev_mean, dev_sd = mean_sd(dev)
    test_mean, test_sd = mean_sd(test) if test else (None, None)

    return {
        "task": task.name,
        "metric": task.metric,
        "also": list(task.also),
        "labels": list(data.labels),
        "regression": task.regression,
        "seeds": _seed_entries(data, outcomes, by_set),
        "best_seed": best.seed,
        "dev_mean": dev_mean,
        "dev_sd": dev_sd,
        "dev_median": median(dev),
        "dev_best": max(dev),
        "test_mean": test_mean,
        "test_sd": test_sd,
        "more": {
            name: {metric: [values[metric] for values in found] for metric in found[0]}
            for name, found in by_set.items()
            if name not in ("dev", "test")
        },
        "seconds": round(seconds, 1),
        "train_examples": len(data.train),
        "skipped_lines": data.skipped,
        **_confusion_and_calibration(data, best.outputs["dev"]),
        "settings": settings,
    }


def _seed_entries(
    data: TaskData, outcomes: list[Outcome], by_set: dict[str, list[dict[str, float]]]
) -> list[dict[str, Any]]:
    """An entry for each seed. `by_set` has the metrics of each seed on each labelled set."""
    entries = []
    for i, outcome in enumerate(outcomes):
        test = by_set["test"][i] if "test" in by_set else None
        entries.append(
            {
                "seed": outcome.seed,
                "dev": outcome.dev,
                "test": None if test is None else test[data.task.metric],
                "dev_metrics": by_set["dev"][i],
                "test_metrics": test,
                "dev_last_epoch": outcome.dev_last,
                "dev_head_only": outcome.dev_head,
                **_loss_and_calibration_error(data.task, data.dev, outcome.outputs["dev"]),
                "collapsed": outcome.collapsed,
                "retried": outcome.retried,
            }
        )
    return entries


def _loss_and_calibration_error(
    task: Task, examples: Sequence[Example], outputs: np.ndarray
) -> dict[str, float | None]:
    """Of a classifier. Of a regression the mean squared error, and None."""
    gold = [example.label for example in examples]
    if task.regression:
        return {"loss": float(np.mean((np.array(gold) - outputs[:, 0]) ** 2)), "ece": None}
    return {"loss": log_loss(gold, outputs), "ece": expected_calibration_error(gold, outputs)[0]}


def _confusion_and_calibration(data: TaskData, outputs: np.ndarray) -> dict[str, list | None]:
    """Of a classifier's probabilities (N, C) on dev. None and None for a regression."""
    if data.task.regression:
        return {"confusion": None, "calibration": None}

    gold = [example.label for example in data.dev]
    confusion = confusion_matrix(gold, outputs.argmax(1), len(data.labels))
    _, bins = expected_calibration_error(gold, outputs)
    calibration = [
        {
            "from": one.low,
            "to": one.high,
            "count": one.count,
            "confidence": one.confidence,
            "accuracy": one.accuracy,
        }
        for one in bins
    ]
    return {"confusion": confusion.tolist(), "calibration": calibration}


# ---------------------------------------------------------------- tables of predictions


def table_of(data: TaskData, best: Outcome) -> list[dict[str, str]]:
    """The rows of predictions.tsv, each {column: text}: first dev, then test.

    A labelled set begins with its worst errors: the lowest probability of the label, or the largest
    distance from the value. A set without labels keeps its order.
    """
    rows = []
    for name in TABULATED_SETS:
        examples = sets_of(data).get(name)
        if examples is None:
            continue
        pairs = list(zip(examples, best.outputs[name], strict=True))
        order = list(range(len(examples)))
        if is_labelled(examples):
            quality = [_prediction_quality(data.task, *pair) for pair in pairs]
            order.sort(key=quality.__getitem__)
        rows += [_table_row(data, name, i, *pairs[i]) for i in order]
    return rows


def _prediction_quality(task: Task, example: Example, output: np.ndarray) -> float:
    """How right one output (C,) is: the probability of the label, or minus the distance from it."""
    if task.regression:
        return -abs(example.label - float(output[0]))
    return float(output[int(example.label)])


def _table_row(
    data: TaskData, set_name: str, index: int, example: Example, output: np.ndarray
) -> dict[str, str]:
    """output (C,)."""
    text = " ".join(" / ".join(t for t in (example.text_a, example.text_b) if t).split())
    gold = word_of(data, example.label) if is_labelled([example]) else ""
    row = {"split": set_name, "index": str(index), "gold": gold}

    if data.task.regression:
        return {**row, "prediction": word_of(data, float(output[0])), "text": text}

    probabilities = {
        f"p({label})": f"{p:.4f}" for label, p in zip(data.labels, output, strict=True)
    }
    prediction = word_of(data, int(output.argmax()))
    return {**row, "prediction": prediction, **probabilities, "text": text}


def word_of(data: TaskData, label: int | float) -> str:
    """The word of a class, or a value with four decimals."""
    return f"{label:.4f}" if data.task.regression else data.labels[int(label)]


def tsv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Tab-separated lines without quoting."""
    return "".join("\t".join(row) + "\n" for row in (header, *rows)).encode()


def predictions_tsv(data: TaskData, best: Outcome) -> bytes:
    """The content of predictions.tsv."""
    rows = table_of(data, best)
    return tsv(list(rows[0]), [list(row.values()) for row in rows])


def every_seed_tsv(
    data: TaskData, examples: Sequence[Example], name: str, outcomes: list[Outcome]
) -> bytes:
    """The content of <name>_predictions.tsv: index, gold, and a column of predictions per seed.

    The gold column is empty where the set has no labels.
    """
    by_seed = [predictions(data.task, outcome.outputs[name]) for outcome in outcomes]
    labelled = is_labelled(examples)
    rows = [
        [
            str(i),
            word_of(data, example.label) if labelled else "",
            *(word_of(data, of_seed[i]) for of_seed in by_seed),
        ]
        for i, example in enumerate(examples)
    ]
    return tsv(["index", "gold", *(f"seed {outcome.seed}" for outcome in outcomes)], rows)


@dataclass(frozen=True)
class Predictions:
    """The columns of a <set>_predictions.tsv."""

    index: list[str]
    gold: list[str]
    by_seed: list[list[str]]


def read_every_seed(path: Path, seeds: Sequence[int], result: str = "result.json") -> Predictions:
    """The inverse of `every_seed_tsv`.

    Raises FileNotFoundError, and ValueError for a table with other seeds than `seeds`, those of the
    file named `result`, or with broken rows.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not UTF-8") from None

    header = ["index", "gold", *(f"seed {seed}" for seed in seeds)]
    if lines[0].split("\t") != header:
        raise ValueError(f"{path}: its columns are not those of {result}, {', '.join(header)}")

    rows = [line.split("\t") for line in lines[1:]]
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(
                f"{path}:{number}: {len(row)} columns where the header has {len(header)}"
            )
    if not rows:
        raise ValueError(f"{path}: no rows")

    index, gold, *by_seed = map(list, zip(*rows, strict=True))
    return Predictions(index, gold, by_seed)
