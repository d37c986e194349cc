"""Run folders of train.py as runs that `electra.report.pretraining` draws."""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from electra.report.charts import MOST_COLOURS
from electra.report.schema import LOG_LINE, LOG_LINE_OF, RUN, RUN_SETTINGS, check_kind
from electra.report.values import Json

LOG = "metrics.jsonl"
FIGURES = ("mlm_loss", "mlm_acc", "rtd_loss", "rtd_auc", "rtd_auc_unigram")  # of a curve


# ---------------------------------------------------------------- the log of one run


def held_out(log: Sequence[Json]) -> Json:
    """The curve of a run on held-out text, and its cost until the last point.

    log: the lines of metrics.jsonl, of which at least one is an evaluation.
    """
    evaluations = [line for line in log if line["split"] == "valid"]
    last = evaluations[-1]
    tokens_until = _TokenCount([line for line in log if line["split"] == "train"])
    tokens = tokens_until(last["step"])
    return {
        "minutes": last["seconds"] / 60,
        "steps": last["step"],
        "tokens": round(tokens),
        "tokens_per_s": tokens / max(last["seconds"], 1e-9),
        "curve": [
            {
                "step": line["step"],
                "minutes": line["seconds"] / 60,
                "tokens": round(tokens_until(line["step"])),
                **{figure: line[figure] for figure in FIGURES if figure in line},
            }
            for line in evaluations
        ],
    }


class _TokenCount:
    """How many tokens a run has seen until a step, from the lines of its log."""

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Each line has its step and the tokens since the line before."""
        self.steps = [0.0, *(float(line["step"]) for line in lines)]
        self.tokens = list(accumulate((float(line["tokens"]) for line in lines), initial=0.0))

    def __call__(self, step: int) -> float:
        last = self.steps[-1]
        if step > last > 0:
            # Steps after the last line are assumed to be as full as those before it.
            return self.tokens[-1] * float(step) / last
        after = bisect_left(self.steps, step)
        if after in (0, len(self.steps)):
            return self.tokens[min(after, len(self.steps) - 1)]
        begin, end = self.steps[after - 1 : after + 1]
        share = (float(step) - begin) / (end - begin)
        return self.tokens[after - 1] + share * (self.tokens[after] - self.tokens[after - 1])


def read_log(path: Path) -> list[Json]:
    """The lines of a metrics.jsonl. A last line that a crash cut off is left out.

    Raises ValueError naming the line that is not one of a log.
    """
    *whole, rest = path.read_bytes().decode("utf-8", "replace").split("\n")
    if rest:
        whole.append(rest)
    lines = []
    for number, text in enumerate(whole, 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            if rest and number == len(whole):
                break
            raise ValueError(f"{path}, line {number}: not JSON") from None
        try:
            check_kind(line, LOG_LINE, "the line")
            check_kind(line, LOG_LINE_OF.get(line["split"], {}), "the line")
        except ValueError as problem:
            raise ValueError(f"{path}, line {number}: {problem}") from None
        lines.append(line)
    return lines


def _without_infinity(line: Json) -> Json:
    """A line whose figures that are not finite, as of a run that diverged, are None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in line.items()
    }


# ---------------------------------------------------------------- several runs


def is_run(path: Path) -> bool:
    """Whether a path is a folder, or the log of a run, and not a file of results."""
    return path.is_dir() or path.name == LOG


def folder_of(path: Path) -> Path:
    """The run folder that was given by its name or by its log."""
    return path if path.is_dir() else path.parent


def read_runs(folders: Sequence[Path], unit: str) -> list[Json]:
    """The runs, each below the one that it started from; otherwise in their order.

    unit: what they are drawn over, minutes or tokens. Raises ValueError for a folder that has no
    curve over it, and for too many folders.
    """
    if len(folders) > MOST_COLOURS:
        raise ValueError(f"{len(folders)} runs are too many: {MOST_COLOURS} can be told apart")
    places = [os.path.realpath(folder) for folder in folders]
    for folder, place in zip(folders, places, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"{folder}: given twice")

    names = shortest_names(folders)
    found = [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]
    for folder, run in zip(folders, found, strict=True):
        if run["steps"] and not run[unit]:
            raise ValueError(f"{folder} has no count of {unit} in its {LOG}")

    runs = dict(zip(places, found, strict=True))
    parents = {run["name"]: _parent(run["init"], runs) for run in found}
    for run in found:
        run["init"] = parents[run["name"]] or _not_a_name(run["init"], names)
    return _parents_first(found)


def read_run(folder: Path, name: str) -> Json:
    """A run as in results.json of a comparison; its init is that of config.json.

    Raises ValueError naming a folder that is no pre-training or has no curve.
    """
    settings = _read_settings(folder)
    log = read_log(folder / LOG)
    if not any(line["split"] == "valid" for line in log):
        raise ValueError(f"{folder} has no evaluation on held-out text yet")

    init = settings.get("init")
    run = {
        "name": name,
        "objective": settings["objective"],
        "stage": "post-pre-training" if init else "pre-training",
        "init": init,
        **held_out([_without_infinity(line) for line in log]),
    }
    try:
        check_kind(run, RUN)
    except ValueError as problem:
        raise ValueError(f"{folder / LOG}: {problem}") from None
    if all(point.get("mlm_loss") is None for point in run["curve"]):
        raise ValueError(f"{folder} has no finite loss on held-out text")
    return run


def _read_settings(folder: Path) -> Json:
    """config.json of a pre-training. Raises ValueError saying what to give for another folder."""
    for name, kind in (("result.json", "a fine-tuning"), ("results.json", "a comparison")):
        if (folder / name).exists():
            raise ValueError(f"{folder} holds {kind}: give {folder / name}")
    for name in ("config.json", LOG):
        if not (folder / name).exists():
            raise ValueError(f"{folder} is not a run folder of train.py: it has no {name}")
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        check_kind(settings, {})
        if "task" in settings:
            raise ValueError("a fine-tuning: once it has ended, give its result.json")
        check_kind(settings, RUN_SETTINGS)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"{path}: {problem}") from None
    return settings


def shortest_names(folders: Sequence[Path]) -> list[str]:
    """The last parts of each path: as many as no other of the paths ends with."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    names = []
    for i, path in enumerate(paths):
        others = [other.parts for j, other in enumerate(paths) if j != i]
        count = 1
        while any(other[-count:] == path.parts[-count:] for other in others):
            count += 1
        names.append(str(Path(*path.parts[-count:])))
    return names


def _parent(init: str | None, runs: Mapping[str, Json]) -> str | None:
    """The name of the run whose last checkpoint is `init`. runs: by their real paths."""
    try:
        place = os.path.realpath(init or "")
    except ValueError:  # no file has such a name
        return None
    folder, file = os.path.split(place)
    if init and place in runs:
        return runs[place]["name"]
    if folder in runs and file in ("ckpt.pt", f"ckpt-{runs[folder]['steps']}.pt"):
        return runs[folder]["name"]
    return None


def _not_a_name(init: str | None, names: Sequence[str]) -> str | None:
    """The init of a run that started from none of the runs, even where it is spelled like one."""
    return f"./{init}" if init in names else init


def _parents_first(runs: Sequence[Json]) -> list[Json]:
    """The runs in an order in which each stands below its parent, but for those in a circle."""
    waiting, placed = list(runs), []
    while waiting:
        names = {run["name"] for run in waiting}
        first = next((run for run in waiting if run["init"] not in names), waiting[0])
        waiting.remove(first)
        placed.append(first)
    return placed
