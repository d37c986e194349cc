"""All of GLUE in one run: which of its tasks are there, and which are done already."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from electra.config import FinetuneConfig, to_dict
from electra.evaluation import glue, results
from electra.tasks.load import load_task

# Settings that may differ between two runs with the same result.
FREE_WHEN_FINISHED = (
    "force",
    "out",
    "device",
    "cache",
    "report",
    "references",
    "submission",
    "config",
)


def find_tasks(config: FinetuneConfig) -> list[str]:
    """The tasks of GLUE whose data are there; MNLI first, for those that start from its model.

    Raises ValueError where there is none, the one of --intermediate is missing, or --submission is
    asked for and a file has not the rows that the server wants.
    """
    root = glue_folder(config)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder; scripts/download.py glue fetches the data")
    tasks = glue.tasks_there(root)
    if not tasks:
        raise ValueError(
            f"{root} holds the training data of no task of GLUE; scripts/download.py glue fetches "
            f"them"
        )
    if config.intermediate and config.intermediate not in tasks:
        raise ValueError(
            f"--intermediate {config.intermediate}: {root} has no training data of that task"
        )
    if config.submission:  # before hours of training
        for task in tasks:
            data = load_task(task, glue.folder_of(root, task), skip_bad=config.skip_bad)
            rows = {name: len(examples) for name, examples in results.sets_of(data).items()}
            glue.check_rows(task, rows)
    return tasks


def glue_folder(config: FinetuneConfig) -> Path:
    """The folder of all tasks' data."""
    return Path(config.data or "data/glue")


def settings_of(config: FinetuneConfig, task: str) -> FinetuneConfig:
    """The settings of one task, with a run folder below that of the whole."""
    own = replace(
        config,
        task=task,
        data=str(glue.folder_of(glue_folder(config), task)),
        out=f"{config.out}/{task}",
        force=True,
    )
    if config.intermediate and task in glue.AFTER_MNLI:
        own = replace(own, init=f"{config.out}/{config.intermediate}/ckpt.pt")
    return own


def finished(config: FinetuneConfig, force: bool) -> dict[str, Any] | None:
    """The result of an earlier run with these settings; None where there is none, or with `force`.

    Raises ValueError where it had other settings.
    """
    assert config.out is not None
    path = Path(config.out) / "result.json"
    if force or not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    wanted, had = to_dict(config), result["settings"]
    differ = sorted(
        name for name in wanted if name not in FREE_WHEN_FINISHED and had.get(name) != wanted[name]
    )
    if differ:
        name = differ[0]
        raise ValueError(
            f"{path} was made with another --{name.replace('_', '-')} ({had.get(name)}, not "
            f"{wanted[name]}); give --force to make all anew, or another --out"
        )
    print(f"{config.task}: done before, {result['metric']} {result['dev_mean']:.2%}", flush=True)
    return result
