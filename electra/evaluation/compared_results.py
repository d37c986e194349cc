"""Two results of finetune.py, read and checked for a comparison.

N: examples, S: seeds of a result.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra.evaluation.example_counts import COUNTED, Counted, PairedCounts
from electra.evaluation.metrics import METRICS
from electra.evaluation.results import Predictions, read_every_seed
from electra.tasks.task import Task

PARTS = ("dev", "test")
METRICS_OF_NUMBERS = ("pearson", "spearman")
SCORE_TOLERANCE = 1e-6  # between a score in result.json and the score of the predictions


class Result(NamedTuple):
    """The content of a result.json. A part of the data without scores is not in `scores`."""

    path: Path
    task: str
    kind: str  # of the task; files of before there were kinds have "classes" or "regression"
    metric: str
    labels: tuple[str, ...]  # in the order of the classes; empty where the file names none
    seeds: tuple[int, ...]
    separator: str  # between several labels in a table
    scores: dict[str, tuple[float, ...]]  # by part, a score for each seed; fractions


class Side(NamedTuple):
    """A result with its predictions on one part of the data."""

    result: Result
    part: str
    table: Path
    predictions: Predictions


class PairedPredictions(NamedTuple):
    """The predictions of both sides on the same examples: classes (int64) or values (float64)."""

    gold: NDArray  # (N,)
    a: NDArray  # (S of A, N)
    b: NDArray  # (S of B, N)


def check_comparable(a: Result, b: Result) -> None:
    """ValueError where the two results differ in task, metric or labels."""
    for name in ("task", "kind", "metric", "labels"):
        if getattr(a, name) != getattr(b, name):
            raise ValueError(
                f"{a.path} and {b.path} cannot be compared: {name} {getattr(a, name)!r} and "
                f"{getattr(b, name)!r}"
            )


# ---------------------------------------------------------------- result.json


def read_result(path: Path) -> Result:
    """Read a result.json. ValueError, naming the file, for anything but a result of finetune.py."""
    content = _read_json_result(path)
    entries = content["seeds"]

    kind = content.get("kind") or ("regression" if content.get("regression") else "classes")
    if content["metric"] not in METRICS and (kind, content["metric"]) not in COUNTED:
        raise ValueError(f"{path}: metric {content['metric']!r} is none of {', '.join(METRICS)}")
    if not entries:
        raise ValueError(f"{path}: no seeds")
    if not all(isinstance(entry, dict) and type(entry.get("seed")) is int for entry in entries):
        raise ValueError(f"{path}: an entry of seeds has no seed number")
    seeds = tuple(entry["seed"] for entry in entries)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{path}: seed {max(seeds, key=seeds.count)} occurs twice")

    scores = {}
    for part in PARTS:
        values = [entry.get(part) for entry in entries]
        if part == "test" and None in values:
            continue
        scores[part] = _checked_scores(path, part, seeds, values)

    labels = tuple(content.get("labels") or ())
    separator = content.get("separator") or Task.separator
    task, metric = content["task"], content["metric"]
    return Result(path, task, kind, metric, labels, seeds, separator, scores)


def _read_json_result(path: Path) -> dict[str, Any]:
    """The parsed file, with a task, a metric, a list of seeds and, where it has them, labels."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not a JSON file") from None

    if not (
        isinstance(content, dict)
        and isinstance(content.get("task"), str)
        and isinstance(content.get("metric"), str)
        and isinstance(content.get("seeds"), list)
        and _is_list_of_strings(content.get("labels") or [])
    ):
        raise ValueError(
            f"{path}: not a result of finetune.py, which has a task, a metric and seeds"
        )
    return content


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _checked_scores(
    path: Path, part: str, seeds: tuple[int, ...], values: list[Any]
) -> tuple[float, ...]:
    for seed, value in zip(seeds, values, strict=True):
        if type(value) not in (int, float) or not -1 <= value <= 1:
            raise ValueError(
                f"{path}: the {part} score of seed {seed} is {value!r:.40}, not from -1 to 1"
            )
    return tuple(map(float, values))


# ---------------------------------------------------------------- predictions


def table_path(result: Result, part: str) -> Path:
    """The file of a result's predictions on a part of the data."""
    return result.path.with_name(f"{part}_predictions.tsv")


def read_side(result: Result, part: str) -> Side | None:
    """A result and its predictions. None where the table is missing, ValueError if it is broken."""
    path = table_path(result, part)
    try:
        predictions = read_every_seed(path, result.seeds, result.path.name)
    except FileNotFoundError:
        return None
    return Side(result, part, path, predictions)


def check_same_examples(a: Side, b: Side) -> None:
    """ValueError where the two tables differ in an index or a gold label."""
    first, second = a.predictions, b.predictions
    message = f"{a.table} and {b.table} are not of the same examples"
    if len(first.gold) != len(second.gold):
        raise ValueError(f"{message}: {len(first.gold):,} rows and {len(second.gold):,}")

    rows_a = zip(first.index, first.gold, strict=True)
    rows_b = zip(second.index, second.gold, strict=True)
    for number, (row_a, row_b) in enumerate(zip(rows_a, rows_b, strict=True), 2):
        if row_a != row_b:
            raise ValueError(f"{message}: line {number} has index and gold {row_a} and {row_b}")


def pair_predictions(a: Side, b: Side) -> PairedPredictions:
    """Gold and predictions of the same examples as arrays that the metric takes.

    ValueError for a word that is neither a number nor a label, and for predictions with another
    score than their result.
    """
    if a.result.metric in METRICS_OF_NUMBERS:
        # The tables have four decimals, so their score differs slightly from that in result.json:
        # it is not checked.
        return _encoded(a, b, _as_numbers)

    class_of = {label: i for i, label in enumerate(_labels_of(a, b))}
    pair = _encoded(a, b, lambda path, words: _as_classes(path, words, class_of))
    _check_scores(a, pair.gold, pair.a)
    _check_scores(b, pair.gold, pair.b)
    return pair


def pair_counts(a: Side, b: Side, counted: Counted) -> PairedCounts:
    """The counts of the same examples.

    ValueError for a cell that cannot be read, and for predictions with another score than their
    result.
    """
    return PairedCounts(_counts_of(a, counted), _counts_of(b, counted))


def _counts_of(side: Side, counted: Counted) -> NDArray[np.float64]:
    """(S, N, K)."""
    result, gold = side.result, side.predictions.gold
    by_seed = []
    for seed, column, stated in zip(
        result.seeds, side.predictions.by_seed, result.scores[side.part], strict=True
    ):
        rows = []
        for number, cells in enumerate(zip(gold, column, strict=True), 2):
            try:
                rows.append(counted.counts(*cells, result.labels, result.separator))
            except ValueError as problem:
                raise ValueError(f"{side.table}:{number}: {problem}") from None
        by_seed.append(np.array(rows, np.float64))
        _check_score(side, seed, stated, counted.score(by_seed[-1].sum(0)))
    return np.stack(by_seed)


def _encoded(a: Side, b: Side, encode: Callable[[Path, list[str]], NDArray]) -> PairedPredictions:
    """`encode` takes the path of a table and a column of it, and returns an array (N,)."""
    gold = encode(a.table, a.predictions.gold)
    by_side = [
        np.stack([encode(side.table, column) for column in side.predictions.by_seed])
        for side in (a, b)
    ]
    return PairedPredictions(gold, *by_side)


def _labels_of(a: Side, b: Side) -> list[str]:
    """The labels that the result names; without them, the words that occur, in sorted order."""
    if a.result.labels:
        return list(a.result.labels)
    if a.result.metric == "f1":
        raise ValueError(
            f'{a.result.path}: no "labels", so it is unknown which of the classes F1 is of'
        )
    columns = [
        column for side in (a, b) for column in (side.predictions.gold, *side.predictions.by_seed)
    ]
    return sorted({word for column in columns for word in column})


def _check_scores(side: Side, gold: NDArray, predictions: NDArray) -> None:
    """ValueError where predictions (S, N) have another score than the result of the side."""
    result = side.result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # finetune.py has already warned
        found = [METRICS[result.metric](gold, of_seed) for of_seed in predictions]

    stated = result.scores[side.part]
    for seed, stated_score, score in zip(result.seeds, stated, found, strict=True):
        _check_score(side, seed, stated_score, score)


def _check_score(side: Side, seed: int, stated: float, score: float) -> None:
    if abs(stated - score) > SCORE_TOLERANCE:
        raise ValueError(
            f"{side.table}: the predictions of seed {seed} score {score:.4f}, but "
            f"{side.result.path.name} says {stated:.4f}; they are not of the same run"
        )


def _as_classes(path: Path, words: list[str], class_of: dict[str, int]) -> NDArray[np.int64]:
    for number, word in enumerate(words, 2):
        if word not in class_of:
            raise ValueError(
                f"{path}:{number}: {word!r:.40} is not among the labels, {', '.join(class_of)}"
            )
    return np.array([class_of[word] for word in words])


def _as_numbers(path: Path, words: list[str]) -> NDArray[np.float64]:
    try:
        values = np.array([float(word) for word in words])
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    if not np.isfinite(values).all():
        line = 2 + int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{path}:{line}: not a finite number")
    return values
