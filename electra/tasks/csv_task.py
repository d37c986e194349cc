"""A task in tables of the user's own: CSV, TSV or JSON lines."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from electra.tasks.labels import UNKNOWN, check_several_labels, distinct_labels, label_word
from electra.tasks.rows import read_examples, split_labels
from electra.tasks.tables import ENDINGS, columns_of, read_table
from electra.tasks.task import Example, Task, TaskData, hold_out_examples, partners_only

DEV_NAMES = ("dev", "valid", "validation", "val")
# Where the scores of pairs are looked for.
LABEL_COLUMNS = ("label", "score")


@dataclass(frozen=True)
class CsvSettings:
    """What task csv has to be told about its tables."""

    text_columns: tuple[str, ...] = ("text",)  # one, or two for pairs of texts
    label_column: str = "label"
    # Between the labels of a cell, where a text may have several; None: it has one.
    label_separator: str | None = None
    dev_file: str | Path | None = None  # None: that of the folder
    test_file: str | Path | None = None  # None: that of the folder


class TablePaths(NamedTuple):
    """The tables of a task."""

    train: Path
    dev: Path | None  # None: a tenth of train is held out
    test: Path | None  # None: there is no test set


def load_csv(task: Task, root: Path, settings: CsvSettings, seed: int, skip_bad: bool) -> TaskData:
    """One file, or a folder with train.*, dev.* (by one of its names) and perhaps test.*.

    Files that are named in the settings replace those of the folder. Raises ValueError for a file
    that is missing or not what `read_table` expects.
    """
    paths = _find_tables(root) if root.is_dir() else TablePaths(root, None, None)
    if settings.dev_file:
        paths = paths._replace(dev=Path(settings.dev_file))
    if settings.test_file:
        paths = paths._replace(test=Path(settings.test_file))
    if root.is_dir() and paths.dev is None:
        raise _missing_table(root, f"dev (or {', '.join(DEV_NAMES[1:])})")
    if task.kind == "vectors":
        task = _with_own_label(task, paths.train)
    check_columns(task)
    return load_tables(task, paths, seed, skip_bad)


def load_tables(task: Task, paths: TablePaths, seed: int, skip_bad: bool) -> TaskData:
    """Read a task's tables. Without a dev set a tenth of train, drawn by `seed`, is held out.

    All of train gives the labels, where the task states none, and the scale of a regression: its
    largest score, the sign aside.
    """
    if not task.words and task.kind not in ("regression", "vectors"):
        words = _labels_in(paths.train, task, skip_bad)
        task = replace(task, labels=words, words=words)

    examples, skipped = read_examples(paths.train, task, skip_bad=skip_bad)
    if paths.dev is None:
        train, dev = hold_out_examples(examples, seed, paths.train)
    else:
        train = examples
        dev, bad = read_examples(paths.dev, task, skip_bad=skip_bad)
        skipped += bad

    test = None
    if paths.test is not None:
        test, bad = read_examples(paths.test, task, label_optional=True, skip_bad=skip_bad)
        skipped += bad

    if task.scored:
        test = test and _without_unknown_scores(test, examples)
        task = replace(task, scale=max(abs(example.label) for example in examples) or 1.0)
    return TaskData(task, task.labels, train, dev, test, skipped=skipped)


def _without_unknown_scores(test: list[Example], train: list[Example]) -> list[Example]:
    """A test set whose scores are all -1, which is no score of this task, has none."""
    unknown = float(UNKNOWN)
    in_use = min(example.label for example in train) <= unknown
    if in_use or any(example.label != unknown for example in test):
        return test
    return [example._replace(label=math.nan) for example in test]


def check_columns(task: Task) -> None:
    """Raises ValueError for columns of text and label that do not go together."""
    if task.kind == "vectors" and len(task.text) != 2:
        raise ValueError(f"text columns {task.text}: a task of vectors needs the two of a pair")
    if len(task.text) not in (1, 2) or len(set(task.text)) != len(task.text):
        raise ValueError(f"text columns {task.text}: name one column, or two different ones")
    if task.label in task.text:
        raise ValueError(f"column {task.label!r} cannot be both text and label")


def _with_own_label(task: Task, train: Path) -> Task:
    """A task of vectors by the scores of its table, where that has a column of them.

    Unless another one is named, that is `label` or `score`; without either all pairs belong
    together. Raises ValueError for a table that cannot be read.
    """
    if task.label not in LABEL_COLUMNS:
        return task
    there = columns_of(train, header=task.header)
    found = [name for name in LABEL_COLUMNS if name in there]
    return replace(task, label=found[0]) if found else partners_only(task)


def _labels_in(path: Path, task: Task, skip_bad: bool) -> tuple[str, ...]:
    """The different labels of a file, at least two, as `distinct_labels` gives them."""

    def labels_of(*values: str) -> list[str]:
        cell = values[-1]
        return split_labels(task, cell) if task.kind == "labels" else [label_word(cell)]

    rows, _ = read_table(
        path, (*task.text, task.label), labels_of, header=task.header, skip_bad=skip_bad
    )
    labels = distinct_labels(word for row in rows for word in row)
    if not labels:
        raise ValueError(f"{path}: no line has a label; nothing to learn")
    if len(labels) < 2 and task.kind != "labels":
        raise ValueError(f"{path}: every label is {labels[0]!r}; a classifier needs at least two")
    if task.kind == "labels":
        try:
            check_several_labels(labels, task.separator)
        except ValueError as problem:
            raise ValueError(f"{path}: {problem}") from None
    return labels


def _find_tables(folder: Path) -> TablePaths:
    """The tables of a folder by their names. ValueError without a training set."""
    train = _find_table(folder, ("train",))
    if train is None:
        raise _missing_table(folder, "train")
    return TablePaths(train, _find_table(folder, DEV_NAMES), _find_table(folder, ("test",)))


def _find_table(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The one file of these names with a known ending. ValueError where there are several."""
    found = [
        path for stem in stems for end in ENDINGS if (path := folder / f"{stem}{end}").is_file()
    ]
    if len(found) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(p.name for p in found)}; keep one of them")
    return found[0] if found else None


def _missing_table(folder: Path, name: str) -> ValueError:
    return ValueError(f"{folder}: no {name} file with one of the endings {', '.join(ENDINGS)}")
