"""Run folders of train.py as runs that `electra.report.pretraining` draws."""

from __future__ import annotations

import json
import math
import os
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from electra.report.charts import MOST_COLOURS
from electra.report.schema import FOLDER_RUN, LOG_LINE, LOG_LINE_OF, RUN_SETTINGS, check_kind
from electra.report.values import Json

LOG = "metrics.jsonl"
FIGURES = ("mlm_loss", "mlm_acc", "rtd_loss", "rtd_auc", "rtd_auc_unigram")  # of a curve
# A loss before the first step that is more than this many times as high as every later one is that
# of a new generator. It is near ln(vocabulary): 8.2 with 4,000 pieces, and 4.2 after 1,000 steps.
# Trained weights begin far below it, also on text of another domain.
NEW_GENERATOR = 1.5


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
        return _interpolate(self.steps, self.tokens, step)


def _interpolate(steps: Sequence[float], values: Sequence[float], step: int) -> float:
    """The value at a step between two known ones; that of the first or last one outside of them.

    steps: in order. Where a step has several values, as before and after an evaluation, the last of
    them is that of the step.
    """
    after = bisect_right(steps, step)
    if after in (0, len(steps)):
        return values[max(after - 1, 0)]
    begin, end = steps[after - 1 : after + 1]
    share = (float(step) - begin) / (end - begin)
    return values[after - 1] + share * (values[after] - values[after - 1])


class Progress:
    """How far a run was at a step, from all lines of its log."""

    def __init__(self, log: Sequence[Json]) -> None:
        """log: of which at least one line has seconds."""
        lines = [line for line in log if line.get("seconds") is not None]
        marks = sorted((line["step"], float(line["seconds"])) for line in lines)
        self.last_step: int = marks[-1][0]
        self.steps = [0.0, *(float(step) for step, _ in marks)]
        self.seconds = [0.0, *(seconds for _, seconds in marks)]
        trained = [line for line in log if line["split"] == "train"]
        self.tokens_until = _TokenCount(trained) if trained else None

    def tokens(self, step: int) -> int | None:
        """None where they are unknown: a run shorter than --log-every has no line of training."""
        if self.tokens_until is None:
            return None if step else 0
        return round(self.tokens_until(step))

    def until(self, step: int) -> Json:
        """Steps, minutes and tokens. A step after the last line counts as the last line's.

        So a run that was stopped between two lines ends at the earlier one, by whatever name its
        last checkpoint is called.
        """
        step = min(step, self.last_step)
        minutes = _interpolate(self.steps, self.seconds, step) / 60
        return {"steps": step, "minutes": minutes, "tokens": self.tokens(step)}


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
    for folder, (run, _) in zip(folders, found, strict=True):
        if run["steps"] and not run[unit]:
            raise ValueError(f"{folder} has no count of {unit} in its {LOG}")

    by_place = dict(zip(places, found, strict=True))
    origins = [_origin(run["init"], place, places) for place, (run, _) in by_place.items()]
    for (run, _), origin in zip(found, origins, strict=True):
        parent = None
        if origin is None:
            run["init"] = _not_a_name(run["init"], names)
        else:
            parent, progress = by_place[origin.place]
            step = progress.last_step if origin.step is None else origin.step
            run["init"], run["start"] = parent["name"], progress.until(step)
        if _has_new_generator(run, parent):
            run["curve"] = [point for point in run["curve"] if point["step"]]
    return _parents_first([run for run, _ in found])


class FolderRun(NamedTuple):
    """A run as in results.json of a comparison, but that its tokens may be None, for unknown.

    Its minutes, steps and tokens are those of its end. In what `read_runs` gives, a run that
    started from another one of them has a `start`: how far that one was, in the same three.
    """

    run: Json
    progress: Progress


def read_run(folder: Path, name: str) -> FolderRun:
    """The run of a folder; its init is that of config.json.

    Raises ValueError naming a folder that is no pre-training or has no curve.
    """
    settings = _read_settings(folder)
    log = read_log(folder / LOG)
    if not any(line["split"] == "valid" for line in log):
        raise ValueError(f"{folder} has no evaluation on held-out text yet")

    init = settings.get("init")
    progress = Progress(log)
    end = progress.until(progress.last_step)
    found = held_out([_without_infinity(line) for line in log])
    curve = [{**point, "tokens": progress.tokens(point["step"])} for point in found["curve"]]
    tokens, seconds = end["tokens"], max(end["minutes"] * 60, 1e-9)
    run = {
        "name": name,
        "objective": settings["objective"],
        "stage": "post-pre-training" if init else "pre-training",
        "init": init,
        **end,
        "tokens_per_s": None if tokens is None else tokens / seconds,
        "curve": curve,
    }
    try:
        check_kind(run, FOLDER_RUN)
    except ValueError as problem:
        raise ValueError(f"{folder / LOG}: {problem}") from None
    if all(point.get("mlm_loss") is None for point in run["curve"]):
        raise ValueError(f"{folder} has no finite loss on held-out text")
    return FolderRun(run, progress)


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


class _Origin(NamedTuple):
    """The checkpoint of another run that a run started from."""

    place: str  # the real path of that run
    step: int | None  # None for its last one


def _origin(init: str | None, child: str, places: Sequence[str]) -> _Origin | None:
    """The checkpoint that `init` of a run is; None where it is of no other run.

    child: the real path of the run. places: those of all runs.
    """
    if not init or "\0" in init:  # no file has such a name
        return None
    others = [place for place in places if place != child]
    here = _checkpoint_of(os.path.realpath(init))
    found = [origin for origin in here if origin.place in others]
    if found or os.path.isabs(init):
        return found[0] if found else None

    # A path from the folder in which train.py was started. One name alone may be anything.
    path = re.sub(r"^(\.\./)+", "", os.path.normpath(init))
    if "/" not in path:
        return None
    fitting = [
        _Origin(place, step)
        for end, step in _checkpoint_of(path)
        for place in others
        if end and place.endswith(f"/{end}")
    ]
    return fitting[0] if len(fitting) == 1 else None


def _checkpoint_of(path: str) -> list[_Origin]:
    """What a path may be: a run folder, or a checkpoint in one."""
    folder, file = os.path.split(path)
    found = [_Origin(path, None)]
    if match := re.fullmatch(r"ckpt(?:-([0-9]{1,18}))?\.pt", file):
        found.append(_Origin(folder, int(match[1]) if match[1] else None))
    return found


def _has_new_generator(run: Json, parent: Json | None) -> bool:
    """Whether a run is an ELECTRA that goes on from a BERT, which has no generator.

    Its figures before the first step would flatten the rest of its curves. A run of one point
    keeps it.
    """
    first, *later = run["curve"]
    if not run["init"] or run["objective"] != "electra" or first["step"] or not later:
        return False
    if parent is not None:
        return bool(parent["objective"] != run["objective"])
    # The objective of a run that is not given is unknown.
    losses = [point["mlm_loss"] for point in later if point.get("mlm_loss") is not None]
    loss = first.get("mlm_loss")
    return loss is not None and bool(losses) and loss > NEW_GENERATOR * max(losses)


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
