"""Loading a task of the table by its name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from electra.tasks.conll import Columns, load_conll
from electra.tasks.csv_task import CsvSettings, load_csv
from electra.tasks.glue import load_glue
from electra.tasks.imdb import load_imdb
from electra.tasks.known_tasks import GLUE, task_named
from electra.tasks.squad import load_squad
from electra.tasks.task import Task, TaskData, several_labels


def load_task(
    name: str,
    folder: str | Path,
    *,
    csv: CsvSettings | None = None,
    columns: Columns | None = None,
    seed: int = 0,
    skip_bad: bool = False,
) -> TaskData:
    """Read a task of `TASKS` from its folder, or from the folder that holds it.

    Task csv may be a single file; `csv` is for this task alone. So may task conll, which alone has
    `columns`. `seed` draws the held-out tenth
    where a task has no dev set. It is not the seed of the training, so that runs with different
    training seeds are scored on the same examples. `skip_bad` leaves out lines that are not what
    the task expects, and counts them.

    Raises ValueError for an unknown task, settings that the task does not read, and files that are
    missing or not what the task expects.
    """
    task, root, settings = task_named(name), Path(folder), csv or CsvSettings()
    if not root.exists():
        raise ValueError(f"{root}: no such file or folder{_how_to_fetch(task)}")
    if columns not in (None, Columns()) and task.layout != "conll":
        raise ValueError(f"task {name} has no columns of words and tags: leave them out")
    if task.layout == "tables":
        task = _with_columns(task, settings)
        if settings.label_separator is not None:
            task = several_labels(task, settings.label_separator)
        return load_csv(task, root, settings, seed, skip_bad)

    if settings != CsvSettings():
        raise ValueError(
            f"task {name} has files and columns of its own: leave out the settings of task csv"
        )
    if task.layout == "conll":
        inner = root / task.folder
        root = inner if inner.is_dir() else root
        return load_conll(task, root, columns or Columns(), seed, skip_bad)
    if task.layout == "squad":
        inner = root / task.folder
        return load_squad(task, inner if inner.is_dir() else root, seed, skip_bad)
    if not root.is_dir():
        raise ValueError(f"{root}: task {name} needs a folder, not a file")
    inner = root / task.folder
    root = inner if inner.is_dir() else root
    if task.layout == "imdb":
        return load_imdb(root, seed, skip_bad)
    return load_glue(task, root, skip_bad)


def _with_columns(task: Task, settings: CsvSettings) -> Task:
    """The task with the columns that the user names; pairs have usual ones of their own."""
    texts, label = tuple(settings.text_columns), settings.label_column
    if task.kind == "vectors" and settings.label_separator is not None:
        raise ValueError("task pairs has no labels to part: leave out --label-separator")
    if task.kind == "vectors" and texts == CsvSettings.text_columns:
        texts = task.text
    return replace(task, text=texts, label=label)


def _how_to_fetch(task: Task) -> str:
    """The end of a message about a missing folder."""
    if task.name not in (*GLUE, "imdb", "pairs"):
        return ""
    name = task.name if task.name in ("sst2", "imdb") else "glue"
    return f"; python scripts/download.py {name} fetches it"
