"""GLUE as a whole: which tasks have data, the table of scores, and the files for its server.

Wang et al., ICLR 2019; gluebenchmark.com (FAQ: names, headers and label words of the files).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from electra.evaluation.results import read_every_seed
from electra.evaluation.statistics import mean_sd
from electra.files import write_atomically
from electra.tasks.known_tasks import GLUE, TASKS

# Tasks that gain from a model fine-tuned on MNLI first (paper, section 3.1; appendix B).
AFTER_MNLI = ("mrpc", "rte", "stsb")
NOT_AVERAGED = ("wnli",)  # its dev set contradicts its training set: the paper leaves it out

# Dev scores in percent, from google-research/electra's README and from the paper's appendix;
# neither has a figure for WNLI.
REFERENCES = {
    "ELECTRA-Small, released": {
        "cola": 57.0,
        "sst2": 91.2,
        "mrpc": 88.0,
        "stsb": 87.5,
        "qqp": 89.0,
        "mnli": 81.3,
        "qnli": 88.4,
        "rte": 66.7,
    },
    "ELECTRA-Small-OWT": {
        "cola": 56.8,
        "sst2": 88.3,
        "mrpc": 87.4,
        "stsb": 86.8,
        "qqp": 88.3,
        "mnli": 78.9,
        "qnli": 87.9,
        "rte": 68.5,
    },
}


class File(NamedTuple):
    """A file of a submission."""

    name: str
    task: str  # the task whose model predicts it
    set: str  # the set of that task to predict
    rows: int
    # The answer of a task without data: the commonest of its training set; STS-B: the mean.
    majority: str


FILES = (
    File("CoLA", "cola", "test", 1_063, "1"),
    File("SST-2", "sst2", "test", 1_821, "1"),
    File("MRPC", "mrpc", "test", 1_725, "1"),
    File("STS-B", "stsb", "test", 1_379, "2.701"),
    File("QQP", "qqp", "test", 390_965, "0"),
    File("MNLI-m", "mnli", "test", 9_796, "contradiction"),
    File("MNLI-mm", "mnli", "test_mismatched", 9_847, "contradiction"),
    File("QNLI", "qnli", "test", 5_463, "entailment"),
    File("RTE", "rte", "test", 3_000, "entailment"),
    File("WNLI", "wnli", "test", 146, "0"),
    File("AX", "mnli", "ax", 1_104, "contradiction"),
)


def folder_of(root: Path, task: str) -> Path:
    """The folder of a task's files, under GLUE's folder."""
    return root / TASKS[task].folder


def tasks_there(root: Path) -> list[str]:
    """The tasks whose training data exist; MNLI first, because others may start from its model."""
    files = ("train.tsv", "msr_paraphrase_train.txt")
    there = [
        task for task in GLUE if any((folder_of(root, task) / name).exists() for name in files)
    ]
    return sorted(there, key=lambda task: task != "mnli")


# ---------------------------------------------------------------- the table


def rows_of(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """{task: content of its result.json} -> a row for each task, in GLUE's order; percent."""
    return [_row_of(task, found[task]) for task in GLUE if task in found]


def _row_of(task: str, result: dict[str, Any]) -> dict[str, Any]:
    seeds = result["seeds"]
    values = [100 * seed["dev"] for seed in seeds]
    mean, sd = mean_sd(values)

    # Further metrics of dev, then every metric of the further sets.
    further = {
        name: mean_sd([100 * seed["dev_metrics"][name] for seed in seeds])
        for name in result["also"]
    }
    for set_name, metrics in result["more"].items():
        for metric, by_seed in metrics.items():
            further[f"{set_name} {metric}"] = mean_sd([100 * value for value in by_seed])

    return {
        "task": task,
        "metric": result["metric"],
        "seeds": len(values),
        "mean": mean,
        "sd": sd,
        "median": 100 * result["dev_median"],
        "best": max(values),
        "further": further,
        "seconds": result["seconds"],
        "collapsed": any(seed["collapsed"] for seed in seeds),
    }


def average(scores: Mapping[str, float]) -> float | None:
    """The mean of the tasks that the paper averages; None where one of them is missing."""
    averaged = [task for task in GLUE if task not in NOT_AVERAGED]
    if not set(averaged) <= set(scores):
        return None
    return sum(scores[task] for task in averaged) / len(averaged)


def markdown(rows: Sequence[dict[str, Any]], references: bool) -> str:
    """The table of dev scores for people, in percent; with `references`, published scores too."""
    published = REFERENCES if references else {}
    header = ["task", "metric", "dev", "median", "best", "further", "seconds", *published]
    lines = [header, ["---"] * len(header)]
    lines += [_cells_of(row, published) for row in rows]
    lines.append(_last_line(rows, published))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cells_of(row: dict[str, Any], published: Mapping[str, Mapping[str, float]]) -> list[str]:
    seeds = row["seeds"]
    further = [
        f"{name} {_mean_and_sd(mean, sd, seeds)}" for name, (mean, sd) in row["further"].items()
    ]
    return [
        row["task"] + (" (collapsed!)" if row["collapsed"] else ""),
        row["metric"],
        _mean_and_sd(row["mean"], row["sd"], seeds),
        f"{row['median']:.1f}",
        f"{row['best']:.1f}",
        ", ".join(further),
        f"{row['seconds']:,.0f}",
        *(str(scores.get(row["task"], "–")) for scores in published.values()),
    ]


def _last_line(
    rows: Sequence[dict[str, Any]], published: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """The average of the tasks, or how many of them have data."""
    mean = average({row["task"]: row["mean"] for row in rows})
    if mean is None:
        name, shown = f"no GLUE average: {len(rows)} of {len(GLUE)} tasks have data", "–"
    else:
        name, shown = "GLUE average (without WNLI)", f"{mean:.1f}"
    seconds = f"{sum(row['seconds'] for row in rows):,.0f}"
    return [
        *(name, "", shown, "", "", "", seconds),
        *(f"{average(scores):.1f}" for scores in published.values()),
    ]


def _mean_and_sd(mean: float, sd: float, seeds: int) -> str:
    return f"{mean:.1f} ± {sd:.1f}" if seeds > 1 else f"{mean:.1f}"


def write_table(out: Path, found: dict[str, dict[str, Any]], references: bool) -> None:
    """Write glue.json and glue.md, and print the table."""
    rows = rows_of(found)
    table = markdown(rows, references)
    write_atomically(out / "glue.json", (json.dumps({"rows": rows}, indent=1) + "\n").encode())
    write_atomically(out / "glue.md", table.encode())
    print(f"\n{table}\n{out / 'glue.md'} and glue.json are written")


# ---------------------------------------------------------------- the submission


def check_rows(name: str, sets: dict[str, int]) -> None:
    """ValueError where a set of a submission has another number of rows than the server expects.

    `sets` has the number of examples of each set of the task `name`.
    """
    for file in FILES:
        if file.task == name and sets.get(file.set, file.rows) != file.rows:
            raise ValueError(
                f"--submission: GLUE's {file.name} has {file.rows:,} rows to predict, "
                f"the {file.set} set of {name} here has {sets[file.set]:,}"
            )


def write_submission(out: Path, found: dict[str, dict[str, Any]]) -> None:
    """Write `submission/` with the eleven files, and submission.zip of them.

    The answers are those of the seed that is best on dev. A task without data gets the majority's
    answer in every row.
    """
    made, without_data = {}, []
    for file in FILES:
        answers = _predicted_answers(out, file, found)
        if answers is None:
            answers = [file.majority] * file.rows
            without_data.append(file.name)
        assert len(answers) == file.rows, file
        lines = ["index\tprediction", *(f"{i}\t{answer}" for i, answer in enumerate(answers))]
        made[f"{file.name}.tsv"] = "\n".join(lines) + "\n"

    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in made.items():
            write_atomically(out / "submission" / name, text.encode())
            # A fixed date, so that equal answers make an equal archive.
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    write_atomically(out / "submission.zip", packed.getvalue())

    note = f"; without data, with the majority's answer: {', '.join(without_data)}"
    print(f"{out / 'submission'} and submission.zip are written{note if without_data else ''}")


def _predicted_answers(out: Path, file: File, found: dict[str, dict[str, Any]]) -> list[str] | None:
    """The best seed's answers for a file, as the server writes them; None without predictions."""
    path = out / file.task / f"{file.set}_predictions.tsv"
    if file.task not in found or not path.exists():
        return None
    result = found[file.task]
    seeds = [seed["seed"] for seed in result["seeds"]]
    predictions = read_every_seed(path, seeds).by_seed[seeds.index(result["best_seed"])]

    task = TASKS[file.task]
    if task.regression:
        assert task.scale is not None
        return [f"{min(max(float(value), 0.0), task.scale):.3f}" for value in predictions]
    word_of = dict(zip(task.labels, task.words, strict=True))
    return [word_of[prediction] for prediction in predictions]
