"""Tasks of one's own: CSV, TSV and JSON lines, described by flags or by a TOML file."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

from electra.tasks.rows import label_word, read_examples
from electra.tasks.tables import ENDINGS, read_table, read_text
from electra.tasks.task import (
    CLASS_METRICS,
    SCORE_METRICS,
    TASKS,
    Task,
    TaskData,
    hold_out_examples,
)


def load_csv(
    task: Task,
    root: Path,
    seed: int,
    dev_file: str | Path | None,
    test_file: str | Path | None,
    skip_bad: bool,
) -> TaskData:
    """One file, or a folder with train.*, dev.* (or valid.*) and perhaps test.*; explicit files come first."""
    _check_columns(task)
    train_path, dev_path, test_path = root, None, None
    if root.is_dir():
        train_path = _find_table(root, ("train",))
        dev_path, test_path = _find_table(root, ("dev", "valid")), _find_table(root, ("test",))
    dev_path = Path(dev_file) if dev_file else dev_path
    test_path = Path(test_file) if test_file else test_path
    if train_path is None or (root.is_dir() and dev_path is None):
        missing = "train" if train_path is None else "dev (or valid)"
        raise ValueError(f"{root}: no {missing} file with one of the endings {', '.join(ENDINGS)}")
    return _load_tables(task, train_path, dev_path, test_path, seed, skip_bad)


def _load_tables(
    task: Task,
    train_path: Path,
    dev_path: Path | None,
    test_path: Path | None,
    seed: int,
    skip_bad: bool,
) -> TaskData:
    """A task's tables. Without a dev set a tenth of train is held out.

    From all of train come the labels, where the task states none, and the scale of a regression: its largest score,
    the sign aside.
    """
    if not task.words and not task.regression:
        words = _labels_in(train_path, task, skip_bad)
        task = replace(task, labels=words, words=words)
    examples, skipped = read_examples(train_path, task, skip_bad=skip_bad)
    if dev_path is None:
        train, dev = hold_out_examples(examples, seed, train_path)
    else:
        train = examples
        dev, bad = read_examples(dev_path, task, skip_bad=skip_bad)
        skipped += bad
    test = None
    if test_path is not None:
        test, bad = read_examples(test_path, task, label_optional=True, skip_bad=skip_bad)
        skipped += bad
    if task.regression:
        task = replace(task, scale=max(abs(example.label) for example in examples) or 1.0)
    return TaskData(task, task.labels, train, dev, test, skipped=skipped)


def _labels_in(path: Path, task: Task, skip_bad: bool) -> tuple[str, ...]:
    """The distinct labels of a file, at least two: sorted as numbers if all are whole numbers, else as strings."""
    words, _ = read_table(
        path,
        (*task.text, task.label),
        lambda *values: label_word(values[-1]),
        header=task.header,
        skip_bad=skip_bad,
    )
    distinct = sorted(set(words))
    if len(distinct) < 2:
        raise ValueError(f"{path}: every label is {distinct[0]!r}; a classifier needs at least two")
    if all(re.fullmatch(r"-?[0-9]{1,1000}", word) for word in distinct):
        distinct.sort(key=int)
    return tuple(distinct)


def _check_columns(task: Task) -> None:
    if len(task.text) not in (1, 2) or len(set(task.text)) != len(task.text):
        raise ValueError(f"text columns {task.text}: name one column, or two different ones")
    if task.label in task.text:
        raise ValueError(f"column {task.label!r} cannot be both text and label")


def _find_table(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The one file of these names with a known ending. ValueError where there are several: which is meant?"""
    found = [
        path for stem in stems for end in ENDINGS if (path := folder / f"{stem}{end}").is_file()
    ]
    if len(found) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(p.name for p in found)}; keep one of them")
    return found[0] if found else None


_KEYS = {
    "name": str,
    "train": str,
    "dev": str,
    "test": str,
    "text": list,
    "label": str,
    "labels": list,
    "regression": bool,
    "metric": str,
    "max_len": int,
    "epochs": int,
    "header": bool,
}
_NEEDED = ("name", "train", "text", "label")
_TYPE_NAMES = {
    str: "a string",
    list: "a list of strings",
    bool: "true or false",
    int: "a whole number",
}


def load_task_file(path: str | Path, skip_bad: bool = False, *, seed: int = 0) -> TaskData:
    """Read the task that a .toml or .json file describes; data/README.md shows one. Its paths start at its folder.

    Where it names no dev set, a tenth of train is held out, drawn by `seed`. ValueError names the file, and the key
    that is unknown, missing or not what it must be; for the tables, see `load_task`.
    """
    path = Path(path)
    settings = _read_settings(path)
    try:
        task = _task_of(settings)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    train, dev, test = (
        path.parent / settings[key] if key in settings else None for key in ("train", "dev", "test")
    )
    data = _load_tables(task, train, dev, test, seed, skip_bad)
    if task.metric == "f1" and len(data.labels) != 2:
        raise ValueError(
            f"{path}: metric: f1 is for two labels, and there are {len(data.labels)}; take macro_f1"
        )
    return data


def _read_settings(path: Path) -> dict[str, object]:
    """The keys and values of a .toml or .json file."""
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"{path}: the name of a task file must end in .toml or .json")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    text = read_text(path)
    try:
        settings = (tomllib if path.suffix == ".toml" else json).loads(text)
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise ValueError(f"{path}: not valid {path.suffix[1:].upper()} ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path}: expected an object of keys and values, got {type(settings).__name__}"
        )
    return settings


def _task_of(settings: dict[str, object]) -> Task:
    """The row that these settings describe. ValueError begins with the key that is at fault."""
    for key, value in settings.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ValueError(f"{key}: unknown key; the keys are {', '.join(_KEYS)}")
        if type(value) is not kind or (
            kind is list and not all(isinstance(word, str) for word in value)
        ):
            raise ValueError(f"{key}: expected {_TYPE_NAMES[kind]}, got {value!r}")
    missing = [key for key in _NEEDED if key not in settings]
    if missing:
        raise ValueError(f"{missing[0]}: missing; a task needs {', '.join(_NEEDED)}")
    name, labels, regression = (
        settings["name"],
        tuple(settings.get("labels", ())),
        settings.get("regression", False),
    )
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ValueError(f"name: {name!r} may hold a to z, 0 to 9, _ and - only")
    if name in (*TASKS, "glue"):
        raise ValueError(f"name: there is a task {name} already; take another")
    if "labels" in settings:
        _check_labels(labels, regression)
    task = Task(
        name,
        labels,
        labels,
        metric=_metric_of(settings, regression),
        max_len=settings.get("max_len", 128),
        epochs=settings.get("epochs", 3),
        regression=regression,
        text=tuple(settings["text"]),
        label=settings["label"],
        header=settings.get("header", True),
    )
    for key, least in (("max_len", 8), ("epochs", 1)):
        if getattr(task, key) < least:
            raise ValueError(f"{key}: must be {least} or more, not {getattr(task, key)}")
    try:
        _check_columns(task)
    except ValueError as problem:
        raise ValueError(f"text: {problem}") from None
    return task


def _check_labels(labels: tuple[str, ...], regression: bool) -> None:
    if regression:
        raise ValueError("labels: a regression has scores, not labels")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ValueError(f"labels: {list(labels)} are not two or more different ones")
    odd = [label for label in labels if not label or label != label.strip()]
    if odd:
        raise ValueError(
            f"labels: {odd[0]!r} is empty or has white space around it, which labels in files lose"
        )
    if any("\ud800" <= char <= "\udfff" for label in labels for char in label):
        raise ValueError(
            "labels: half a surrogate pair, which is no character and cannot be written"
        )


def _metric_of(settings: dict[str, object], regression: bool) -> str:
    fitting, others = (
        (SCORE_METRICS, CLASS_METRICS) if regression else (CLASS_METRICS, SCORE_METRICS)
    )
    metric = settings.get("metric", fitting[0])
    if metric not in fitting:
        raise ValueError(
            f"metric: {metric!r} is {'not for' if metric in others else 'no metric for'} "
            f"{'a regression' if regression else 'labels'}; choose one of {', '.join(fitting)}"
        )
    return metric
