"""What a fine-tuning leaves behind: scores, result.json, and the tables of predictions.

result.json                scores by seed and their spread, calibration and confusion of the best seed, settings
predictions.tsv            the best seed's: text, gold, prediction, probabilities; the most wrong first
<set>_predictions.tsv      the predictions of every seed, in the order of the task's file; <set> is dev, test, …
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from electra.evaluation import metrics
from electra.tasks.task import Example, Task, TaskData

WRONG_FIRST = ("dev", "test")


class Outcome(NamedTuple):
    """One seed's run. `outputs` has the probabilities (n, classes), or the values (n, 1) of a regression, by set."""

    seed: int
    outputs: dict[str, np.ndarray]  # "dev", perhaps "test", and the task's further sets
    dev: float  # the main metric of the best epoch
    dev_last: float  # of the last epoch, chosen or not
    dev_head: float | None  # the best of the epochs with the head alone
    state: dict[str, Any]  # weights of the best epoch
    collapsed: bool
    retried: bool = False


def sets_of(data: TaskData) -> dict[str, list[Example]]:
    """Everything that a model is scored on or predicts, by name."""
    return {"dev": data.dev, **({"test": data.test} if data.test else {}), **data.more}


def is_labelled(examples: Sequence[Example]) -> bool:
    """Whether a set has its answers; a test set of GLUE does not."""
    label = examples[0].label
    return not (math.isnan(label) if isinstance(label, float) else label < 0)


def predictions(task: Task, outputs: np.ndarray) -> np.ndarray:
    """(n, classes) -> the likeliest class, (n,) int64; (n, 1) of a regression -> the value, (n,) float32."""
    return outputs[:, 0] if task.regression else outputs.argmax(1)


def scores(
    task: Task, examples: Sequence[Example], outputs: np.ndarray
) -> tuple[dict[str, float], list[str]]:
    """Every metric of the task, the main one first, and what is to be said about them (a measure that is not defined
    here and has its stated value). The set must be labelled."""
    gold, predicted = [example.label for example in examples], predictions(task, outputs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = {
            name: metrics.METRICS[name](gold, predicted) for name in (task.metric, *task.also)
        }
    return values, [str(warning.message) for warning in caught]


def majority_score(data: TaskData) -> float:
    """What always answering the commonest label of the held-out part scores there, by the task's metric."""
    counts = np.bincount([example.label for example in data.dev], minlength=len(data.labels))
    outputs = np.tile(np.eye(len(data.labels))[counts.argmax()], (len(data.dev), 1))
    return scores(data.task, data.dev, outputs)[0][data.task.metric]


def summary(
    data: TaskData, outcomes: list[Outcome], best: Outcome, seconds: float, settings: dict[str, Any]
) -> dict[str, Any]:
    """The content of result.json."""
    task, sets = data.task, sets_of(data)
    by_set = {
        name: [scores(task, examples, outcome.outputs[name])[0] for outcome in outcomes]
        for name, examples in sets.items()
        if is_labelled(examples)
    }
    seeds = [
        {
            "seed": outcome.seed,
            "dev": outcome.dev,
            "test": None,
            "dev_metrics": by_set["dev"][i],
            "test_metrics": None,
            "dev_last_epoch": outcome.dev_last,
            "dev_head_only": outcome.dev_head,
            **_fit(task, data.dev, outcome.outputs["dev"]),
            "collapsed": outcome.collapsed,
            "retried": outcome.retried,
        }
        for i, outcome in enumerate(outcomes)
    ]
    for i, values in enumerate(by_set.get("test", ())):
        seeds[i] |= {"test": values[task.metric], "test_metrics": values}
    dev, test = (
        [seed["dev"] for seed in seeds],
        [seed["test"] for seed in seeds if seed["test"] is not None],
    )
    dev_mean, dev_sd = metrics.mean_sd(dev)
    test_mean, test_sd = metrics.mean_sd(test) if test else (None, None)
    probs = best.outputs["dev"]
    gold = [example.label for example in data.dev]
    return {
        "task": task.name,
        "metric": task.metric,
        "also": list(task.also),
        "labels": list(data.labels),
        "regression": task.regression,
        "seeds": seeds,
        "best_seed": best.seed,
        "dev_mean": dev_mean,
        "dev_sd": dev_sd,
        "dev_median": metrics.median(dev),
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
        "confusion": None
        if task.regression
        else metrics.confusion_matrix(gold, probs.argmax(1), len(data.labels)).tolist(),
        "calibration": None
        if task.regression
        else [
            {
                "from": bin_.low,
                "to": bin_.high,
                "count": bin_.count,
                "confidence": bin_.confidence,
                "accuracy": bin_.accuracy,
            }
            for bin_ in metrics.calibration(gold, probs)[1]
        ],
        "settings": settings,
    }


def _fit(task: Task, examples: Sequence[Example], outputs: np.ndarray) -> dict[str, float | None]:
    """Loss and expected calibration error on the held-out part; of a regression the mean squared error."""
    gold = [example.label for example in examples]
    if task.regression:
        return {"loss": float(np.mean((np.array(gold) - outputs[:, 0]) ** 2)), "ece": None}
    return {"loss": metrics.log_loss(gold, outputs), "ece": metrics.calibration(gold, outputs)[0]}


# ---------------------------------------------------------------- tables


def table_of(data: TaskData, best: Outcome) -> list[dict[str, str]]:
    """predictions.tsv as rows, column by column: the held-out part, then the test set, the most wrong first (by the
    probability of the right label, or the distance from the right value); sets without labels in their order."""
    rows = []
    for name in WRONG_FIRST:
        examples = sets_of(data).get(name)
        if examples is None:
            continue
        outputs = best.outputs[name]
        order = list(range(len(examples)))
        if is_labelled(examples):
            order.sort(key=lambda i: _rightness(data.task, examples[i], outputs[i]))
        rows += [_row(data, name, i, examples[i], outputs[i]) for i in order]
    return rows


def _rightness(task: Task, example: Example, output: np.ndarray) -> float:
    return (
        -abs(example.label - float(output[0])) if task.regression else float(output[example.label])
    )


def _row(
    data: TaskData, name: str, index: int, example: Example, output: np.ndarray
) -> dict[str, str]:
    text = " ".join(" / ".join(t for t in (example.text_a, example.text_b) if t).split())
    word = lambda label: word_of(data, label)
    row = {
        "split": name,
        "index": str(index),
        "gold": word(example.label) if is_labelled([example]) else "",
    }
    if data.task.regression:
        return {**row, "prediction": word(float(output[0])), "text": text}
    return {
        **row,
        "prediction": word(int(output.argmax())),
        **{f"p({label})": f"{p:.4f}" for label, p in zip(data.labels, output)},
        "text": text,
    }


def word_of(data: TaskData, label: int | float) -> str:
    """A label's word, or a value with four decimals."""
    return f"{label:.4f}" if data.task.regression else data.labels[int(label)]


def tsv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Tab-separated lines without quoting."""
    return "".join("\t".join(row) + "\n" for row in (header, *rows)).encode()


def predictions_tsv(data: TaskData, best: Outcome) -> bytes:
    rows = table_of(data, best)
    return tsv(list(rows[0]), [list(row.values()) for row in rows])


def every_seed_tsv(
    data: TaskData, examples: Sequence[Example], name: str, outcomes: list[Outcome]
) -> bytes:
    """index, gold (empty where the set has no labels), and a column of predictions for each seed."""
    found = [predictions(data.task, outcome.outputs[name]) for outcome in outcomes]
    labelled = is_labelled(examples)
    return tsv(
        ["index", "gold", *(f"seed {outcome.seed}" for outcome in outcomes)],
        [
            [
                str(i),
                word_of(data, example.label) if labelled else "",
                *(word_of(data, one[i]) for one in found),
            ]
            for i, example in enumerate(examples)
        ],
    )


class Predictions(NamedTuple):
    """A `<set>_predictions.tsv`, column by column."""

    index: list[str]
    gold: list[str]
    by_seed: list[list[str]]


def read_every_seed(path: Path, seeds: Sequence[int], result: str = "result.json") -> Predictions:
    """The inverse of `every_seed_tsv`. Raises FileNotFoundError, and ValueError for a table of other seeds than those of
    the file called `result`, or with broken rows."""
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
    index, gold, *by_seed = map(list, zip(*rows))
    return Predictions(index, gold, by_seed)
