"""A task of the user's own that a TOML or JSON file describes; data/README.md shows one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from electra.files import is_encodable
from electra.tasks.conll import Columns, load_tagged
from electra.tasks.csv_task import TablePaths, check_columns, load_tables
from electra.tasks.known_tasks import TASKS
from electra.tasks.labels import check_several_labels, label_key, label_word
from electra.tasks.squad import load_questions
from electra.tasks.tables import read_text
from electra.tasks.task import (
    KIND_METRICS,
    PARTNER_METRICS,
    SCORE_METRICS,
    Kind,
    Task,
    TaskData,
    check_separator,
)

# The keys of a task file and their types.
KEYS: dict[str, type] = {
    "name": str,
    "train": str,
    "dev": str,
    "test": str,
    "text": list,
    "label": str,
    "labels": list,
    "regression": bool,
    "multi_label": bool,
    "separator": str,
    "kind": str,
    "word_column": int,
    "tag_column": int,
    "metric": str,
    "max_len": int,
    "epochs": int,
    "header": bool,
}
REQUIRED_KEYS = ("name", "train", "text", "label")
# Kinds whose files are no tables -> the keys that they do without, and those that they have alone.
TABLE_KEYS = ("text", "label", "labels", "header", "separator")
OWN_KEYS: dict[str, tuple[str, ...]] = {"tags": ("word_column", "tag_column"), "spans": ()}
SMALLEST = {"max_len": 8, "epochs": 1}
TYPE_NAMES = {
    str: "a string",
    list: "a list of strings",
    bool: "true or false",
    int: "a whole number",
}


def load_task_file(path: str | Path, skip_bad: bool = False, *, seed: int = 0) -> TaskData:
    """Read the task that a .toml or .json file describes. Its paths are relative to its folder.

    Where it names no dev set, a tenth of train is held out, drawn by `seed`. `skip_bad` is that of
    `load_task`.

    Raises ValueError that names the file, and the key that is unknown, missing or wrong; for the
    tables, see `load_task`.
    """
    path = Path(path)
    settings = _read_settings(path)
    try:
        task = _task_of(settings)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None

    paths: dict[str, Path] = {
        name: path.parent / settings[name] for name in ("train", "dev", "test") if name in settings
    }
    if task.kind == "tags":
        columns = Columns(settings.get("word_column"), settings.get("tag_column"))
        return load_tagged(task, paths, columns, seed, skip_bad)
    if task.kind == "spans":
        return load_questions(task, paths, seed, skip_bad)
    tables = TablePaths(paths["train"], paths.get("dev"), paths.get("test"))
    data = load_tables(task, tables, seed, skip_bad)
    if task.metric == "f1" and len(data.labels) != 2:
        raise ValueError(
            f"{path}: metric: f1 is for two labels, and there are {len(data.labels)}; take macro_f1"
        )
    return data


def _read_settings(path: Path) -> dict[str, Any]:
    """The keys and values of a .toml or .json file."""
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"{path}: the name of a task file must end in .toml or .json")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    text = read_text(path)
    try:
        settings = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise ValueError(f"{path}: not valid {path.suffix[1:].upper()} ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path}: expected an object of keys and values, got {type(settings).__name__}"
        )
    return settings


def _task_of(settings: dict[str, Any]) -> Task:
    """The row of the table that these settings describe. ValueError begins with the key."""
    _check_types(settings)
    _check_name(settings["name"])
    kind = _kind_of(settings)
    _check_keys(settings, kind)
    labels = tuple(settings.get("labels", ()))
    if "labels" in settings:
        _check_labels(labels, kind)

    metric = _metric_of(settings, kind)
    task = Task(
        settings["name"],
        labels,
        labels,
        metric=metric,
        also=_further_metrics(metric, kind),
        max_len=settings.get("max_len", 384 if kind == "spans" else 128),
        epochs=settings.get("epochs", Task.epochs),
        epochs_of_few=settings.get("epochs", Task.epochs_of_few),
        kind=kind,
        text=tuple(settings.get("text", ())),
        label=settings.get("label", ""),
        separator=settings.get("separator", Task.separator),
        header=settings.get("header", True),
    )
    for key, smallest in SMALLEST.items():
        if getattr(task, key) < smallest:
            raise ValueError(f"{key}: must be {smallest} or more, not {getattr(task, key)}")
    if kind in OWN_KEYS:
        return task
    if kind == "labels":
        check_separator(task.separator)
        _check_several(labels, task.separator)
    try:
        check_columns(task)
    except ValueError as problem:
        raise ValueError(f"text: {problem}") from None
    return task


def _kind_of(settings: dict[str, Any]) -> Kind:
    """`kind`, or what `regression` and `multi_label` say; classes where nothing does."""
    said: set[Kind] = set()
    if "kind" in settings:
        if settings["kind"] not in KIND_METRICS:
            raise ValueError(f"kind: {settings['kind']!r} is not one of {', '.join(KIND_METRICS)}")
        said.add(settings["kind"])
    if settings.get("regression"):
        said.add("regression")
    if settings.get("multi_label"):
        said.add("labels")
    if len(said) > 1:
        raise ValueError(f"kind: the keys say {' and '.join(sorted(said))}; keep one of them")
    return said.pop() if said else "classes"


def _check_keys(settings: dict[str, Any], kind: Kind) -> None:
    """Raises ValueError for a key that is missing, or that this kind does not read."""
    required: tuple[str, ...] = REQUIRED_KEYS if kind not in OWN_KEYS else ("name", "train")
    if kind == "vectors":
        required = tuple(key for key in REQUIRED_KEYS if key != "label")
    missing = [key for key in required if key not in settings]
    if missing:
        raise ValueError(f"{missing[0]}: missing; a task needs {', '.join(required)}")
    foreign = {key for keys in OWN_KEYS.values() for key in keys} - set(OWN_KEYS.get(kind, ()))
    foreign |= set(TABLE_KEYS) if kind in OWN_KEYS else set()
    foreign |= set() if kind == "labels" else {"separator"}
    unread = [key for key in settings if key in foreign]
    if unread:
        raise ValueError(f"{unread[0]}: a task of {kind} does not read it; leave it out")


def _further_metrics(metric: str, kind: Kind) -> tuple[str, ...]:
    """The metrics that are given beside the main one."""
    if kind == "tags":
        return ("precision", "recall") if metric == "span_f1" else ("macro_f1",)
    fitting: tuple[str, ...] = KIND_METRICS[kind]
    if kind == "vectors":
        fitting = SCORE_METRICS if metric in SCORE_METRICS else PARTNER_METRICS
    if kind in ("labels", "spans", "vectors"):
        return tuple(name for name in fitting if name != metric)
    return ()


def _check_types(settings: dict[str, Any]) -> None:
    """Every key is known, every value is of its type, and no required key is missing."""
    for key, value in settings.items():
        kind = KEYS.get(key)
        if kind is None:
            raise ValueError(f"{key}: unknown key; the keys are {', '.join(KEYS)}")
        right = type(value) is kind
        if kind is list and right:
            right = all(isinstance(word, str) for word in value)
        if not right:
            raise ValueError(f"{key}: expected {TYPE_NAMES[kind]}, got {value!r}")
    if "name" not in settings:
        raise ValueError(f"name: missing; a task needs {', '.join(REQUIRED_KEYS)}")


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ValueError(f"name: {name!r} may hold a to z, 0 to 9, _ and - only")
    if name in (*TASKS, "glue"):
        raise ValueError(f"name: there is a task {name} already; take another")


def _check_labels(labels: tuple[str, ...], kind: Kind) -> None:
    if kind == "regression":
        raise ValueError("labels: a regression has scores, not labels")
    if kind == "vectors":
        raise ValueError("labels: a task of vectors has pairs, not labels")
    if len(labels) < 2 or len(set(map(label_key, labels))) != len(labels):
        raise ValueError(f"labels: {list(labels)} are not two or more different ones")
    for label in labels:
        if not label or label != label.strip():
            raise ValueError(
                f"labels: {label!r} is empty or has white space around it, which labels in files "
                f"lose"
            )
        try:
            label_word(label)
        except ValueError as problem:
            raise ValueError(f"labels: {problem}") from None
    if not all(map(is_encodable, labels)):
        raise ValueError(
            "labels: half a surrogate pair, which is no character and cannot be written"
        )


def _check_several(labels: tuple[str, ...], separator: str) -> None:
    try:
        check_several_labels(labels, separator)
    except ValueError as problem:
        raise ValueError(f"labels: {problem}") from None


def _metric_of(settings: dict[str, Any], kind: Kind) -> str:
    """The metric that chooses the best epoch; ValueError where it does not fit the kind."""
    fitting: tuple[str, ...] = KIND_METRICS[kind]
    if kind == "vectors":
        fitting = SCORE_METRICS if settings.get("label") else PARTNER_METRICS
    metric = settings.get("metric", fitting[0])
    if metric not in fitting:
        known = any(metric in metrics for metrics in KIND_METRICS.values())
        what = {"classes": "labels", "regression": "a regression"}.get(kind, f"a task of {kind}")
        if kind == "vectors":
            what += f" {'with' if settings.get('label') else 'without'} a column of scores"
        raise ValueError(
            f"metric: {metric!r} is {'not for' if known else 'no metric for'} {what}; choose one "
            f"of {', '.join(fitting)}"
        )
    return metric
