"""What a fine-tuning leaves behind: scores, result.json, and the tables of predictions.

result.json             scores of each seed and their spread, calibration and confusion of the
                        best seed, settings
predictions.tsv         of the best seed: text, gold, prediction, probabilities; the worst
                        errors first
<set>_predictions.tsv   predictions of every seed, in the order of the task's file; <set> is
                        dev, test or a further set of the task
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from electra.evaluation.answer_scoring import AnswerScoring
from electra.evaluation.label_scoring import LabelScoring
from electra.evaluation.scoring import Outputs, Scoring
from electra.evaluation.statistics import mean_sd, median
from electra.evaluation.tag_scoring import TagScoring
from electra.evaluation.text_scoring import ClassScoring, RegressionScoring
from electra.evaluation.vector_scoring import VectorScoring
from electra.tasks.task import Task, TaskData

TABULATED_SETS = ("dev", "test")  # of predictions.tsv
# Kinds of tasks (`Task.kind`) -> how they are scored.
SCORINGS: dict[str, Scoring] = {
    "classes": ClassScoring(),
    "regression": RegressionScoring(),
    "labels": LabelScoring(),
    "tags": TagScoring(),
    "spans": AnswerScoring(),
    "vectors": VectorScoring(),
}


class Outcome(NamedTuple):
    """The run of one seed."""

    seed: int
    # By set ("dev", perhaps "test", and the task's further sets): one for each example, as
    # `Scoring` describes them.
    outputs: dict[str, Any]
    dev: float  # the main metric of the best epoch
    dev_last: float  # of the last epoch, chosen or not
    dev_head: float | None  # of the best epoch that trains only the head
    state: dict[str, Any]  # weights of the best epoch
    thresholds: tuple[float, ...]  # chosen on dev; of labels one each, of answers one or none
    collapse: str  # how it shows that the model has learned nothing; empty where it has not
    retried: bool = False
    dev_labelled: float | None = None  # before it labelled texts itself; None where it did not

    @property
    def collapsed(self) -> bool:
        """Whether the model has learned nothing."""
        return bool(self.collapse)


def sets_of(data: TaskData) -> dict[str, list[Any]]:
    """Every set that a model is scored on or predicts, by name."""
    return {"dev": data.dev, **({"test": data.test} if data.test else {}), **data.more}


def is_labelled(data: TaskData, examples: Sequence[Any]) -> bool:
    """Whether a set has labels; the test sets of GLUE have none."""
    return SCORINGS[data.task.kind].is_labelled(examples[0])


def scores(
    task: Task, examples: Sequence[Any], outputs: Outputs
) -> tuple[dict[str, float], list[str]]:
    """Every metric of the task, the main one first, and the warnings of undefined metrics.

    The set must be labelled. outputs as in `Outcome`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        values = SCORINGS[task.kind].scores(task, examples, outputs)
    return values, [str(warning.message) for warning in caught]


# ---------------------------------------------------------------- result.json


def summary(
    data: TaskData, outcomes: list[Outcome], best: Outcome, seconds: float, settings: dict[str, Any]
) -> dict[str, Any]:
    """The content of result.json."""
    task = data.task
    by_set = {
        name: [scores(task, examples, outcome.outputs[name])[0] for outcome in outcomes]
        for name, examples in sets_of(data).items()
        if is_labelled(data, examples)
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
        "kind": task.kind,
        "separator": task.separator if task.kind == "labels" else None,
        "regression": task.scored,
        "seeds": _seed_entries(data, outcomes, by_set),
        "best_seed": best.seed,
        **{"dev_mean": dev_mean, "dev_sd": dev_sd},
        **{"dev_median": median(dev), "dev_best": max(dev)},
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
        **SCORINGS[task.kind].details(data, best.outputs["dev"]),
        "settings": settings,
    }


def _seed_entries(
    data: TaskData, outcomes: list[Outcome], by_set: dict[str, list[dict[str, float]]]
) -> list[dict[str, Any]]:
    """An entry for each seed. `by_set` has the metrics of each seed on each labelled set."""
    entries = []
    for i, outcome in enumerate(outcomes):
        test = by_set["test"][i] if "test" in by_set else None
        loss, ece = SCORINGS[data.task.kind].loss_and_ece(data, outcome.outputs["dev"])
        entries.append(
            {
                "seed": outcome.seed,
                "dev": outcome.dev,
                "test": None if test is None else test[data.task.metric],
                "dev_metrics": by_set["dev"][i],
                "test_metrics": test,
                "dev_last_epoch": outcome.dev_last,
                "dev_head_only": outcome.dev_head,
                "dev_labelled_only": outcome.dev_labelled,
                "loss": loss,
                "ece": ece,
                "collapsed": outcome.collapsed,
                "retried": outcome.retried,
            }
        )
    return entries


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
        if is_labelled(data, examples):
            quality = [SCORINGS[data.task.kind].quality(data.task, *pair) for pair in pairs]
            order.sort(key=quality.__getitem__)
        rows += [_table_row(data, name, i, *pairs[i]) for i in order]
    return rows


def _table_row(
    data: TaskData, set_name: str, index: int, example: Any, output: Any
) -> dict[str, str]:
    scoring = SCORINGS[data.task.kind]
    return {
        "split": set_name,
        "index": str(index),
        "gold": scoring.gold_word(data, example) if scoring.is_labelled(example) else "",
        "prediction": scoring.predicted_word(data, output),
        **scoring.further_columns(data, output),
        "text": scoring.text(example),
    }


def tsv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Tab-separated lines without quoting."""
    return "".join("\t".join(row) + "\n" for row in (header, *rows)).encode()


def predictions_tsv(data: TaskData, best: Outcome) -> bytes:
    """The content of predictions.tsv."""
    rows = table_of(data, best)
    return tsv(list(rows[0]), [list(row.values()) for row in rows])


def every_seed_tsv(
    data: TaskData, examples: Sequence[Any], name: str, outcomes: list[Outcome]
) -> bytes:
    """The content of <name>_predictions.tsv: index, gold, and a column of predictions per seed.

    The gold column is empty where the set has no labels.
    """
    scoring = SCORINGS[data.task.kind]
    labelled = is_labelled(data, examples)
    rows = [
        [
            str(i),
            scoring.gold_word(data, example) if labelled else "",
            *(scoring.predicted_word(data, outcome.outputs[name][i]) for outcome in outcomes),
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
