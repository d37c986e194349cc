"""Load a task by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from electra.tasks.glue import load_glue
from electra.tasks.imdb import load_imdb
from electra.tasks.own import load_csv
from electra.tasks.task import GLUE, TaskData, task_named


def load_task(
    name: str,
    folder: str | Path,
    *,
    text_columns: Sequence[str] = ("text",),
    label_column: str = "label",
    seed: int = 0,
    dev_file: str | Path | None = None,
    test_file: str | Path | None = None,
    skip_bad: bool = False,
) -> TaskData:
    """Read a task of `TASKS` from its folder, or the folder that holds it (csv: or from one file).

    `seed` draws the held-out tenth where a task has no dev set. It is not the seed of the training, so that runs with
    different training seeds are scored on the same examples. `text_columns`, `label_column`, `dev_file` and
    `test_file` are for csv alone. `skip_bad` leaves out lines that are not what the task expects, and counts them.
    ValueError for an unknown task, settings that the task does not read, and files that are missing or not what the
    task expects.
    """
    task, root, columns = task_named(name), Path(folder), tuple(text_columns)
    if not root.exists():
        fetched = name if name in ("sst2", "imdb") else "glue"
        raise ValueError(
            f"{root}: no such file or folder"
            + (f"; python scripts/download.py {fetched} fetches it" if task.folder else "")
        )
    if name == "csv":
        return load_csv(
            replace(task, text=columns, label=label_column),
            root,
            seed,
            dev_file,
            test_file,
            skip_bad,
        )
    if (columns, label_column, dev_file, test_file) != (("text",), "label", None, None):
        raise ValueError(
            f"task {name} has files and columns of its own: leave out the settings of task csv"
        )
    if not root.is_dir():
        raise ValueError(f"{root}: task {name} needs a folder, not a file")
    inner = root / task.folder
    root = inner if inner.is_dir() else root
    return load_glue(task, root, skip_bad) if name in GLUE else load_imdb(root, seed, skip_bad)
