"""All of GLUE in one run: each task whose data are there, in a folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from electra.checkpoint.checkpoint import Checkpoint
from electra.checkpoint.storage import load_checkpoint
from electra.config import SMALL_STEP, FinetuneConfig, start_name, to_dict
from electra.data.token_cache import check_usable
from electra.evaluation import glue
from electra.evaluation.results import sets_of
from electra.tasks.load import load_task
from electra.tasks.task import TaskData
from electra.training.finetuning import fill_in, read_task
from electra.training.machine import Machine

# Fine-tunes on one task, and returns what result.json holds.
RunTask = Callable[[FinetuneConfig, TaskData, Checkpoint | None, Machine], dict[str, Any]]

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
# What earlier versions did, whose results do not name it: the default, but for one setting.
BEFORE_THEY_WERE_SETTINGS = {**to_dict(FinetuneConfig()), "batch_rows": SMALL_STEP}


def run_glue(
    config: FinetuneConfig, checkpoint: Checkpoint | None, machine: Machine, run_task: RunTask
) -> None:
    """Each task of GLUE in a folder of its own, then one table. Finished tasks are skipped.

    Raises ValueError as `find_tasks`, and where an earlier result had other settings.
    """
    out = config.out or f"runs/glue-{start_name(config.init)}"
    config = replace(config, out=out)
    check_usable(Path(config.cache))  # a large task may come hours after a small one

    results = {}
    for task in find_tasks(config):
        task_config, start = settings_of(config, task), checkpoint
        if task_config.init != config.init:
            start = load_checkpoint(task_config.init, ("classifier",))
        data = read_task(task_config)
        earlier_result = read_earlier_result(fill_in(task_config, data, start), config.force)
        earlier_result = machine.ranks.gather(earlier_result)[0]
        results[task] = earlier_result or run_task(task_config, data, start, machine)

    if machine.ranks.first:
        glue.write_table(Path(out), results, config.references)
        if config.submission:
            glue.write_submission(Path(out), results)


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
            rows = {name: len(examples) for name, examples in sets_of(data).items()}
            glue.check_rows(task, rows)
    return tasks


def glue_folder(config: FinetuneConfig) -> Path:
    """The folder of all tasks' data."""
    return Path(config.data or "data/glue")


def settings_of(config: FinetuneConfig, task: str) -> FinetuneConfig:
    """The settings of one task, with a run folder below that of the whole."""
    task_config = replace(
        config,
        task=task,
        data=str(glue.folder_of(glue_folder(config), task)),
        out=f"{config.out}/{task}",
        force=True,
    )
    if config.intermediate and task in glue.AFTER_MNLI:
        before = f"{config.out}/{config.intermediate}/ckpt.pt"
        task_config = replace(task_config, init=before)
    return task_config


def read_earlier_result(config: FinetuneConfig, force: bool) -> dict[str, Any] | None:
    """The result of an earlier run with these settings; None where there is none, or with `force`.

    Raises ValueError where it had other settings.
    """
    assert config.out is not None
    path = Path(config.out) / "result.json"
    if force or not path.exists():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    wanted, had = to_dict(config), result["settings"]
    had = {**BEFORE_THEY_WERE_SETTINGS, **had}
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
