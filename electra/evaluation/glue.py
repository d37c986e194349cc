"""GLUE as a whole: which tasks have data, the table of scores, and the files that its server takes.

Wang et al., ICLR 2019; gluebenchmark.com (FAQ: names, headers and label words of the files).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from electra.evaluation.metrics import mean_sd
from electra.evaluation.results import read_every_seed
from electra.files import write_atomically
from electra.tasks.task import GLUE, TASKS

AFTER_MNLI = (
    "mrpc",
    "rte",
    "stsb",
)  # gain from a model that learned MNLI first (paper, section 3.1; appendix B)
NOT_AVERAGED = ("wnli",)  # its dev set contradicts its training set: the paper leaves it out
# Dev scores in percent, of google-research/electra's README and of the paper's appendix; no figure for WNLI.
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
    task: str  # whose model predicts it
    set: str  # on which of its sets
    rows: int
    majority: (
        str  # for a task without data: the commonest answer of its training set; STS-B: its mean
    )


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
    """Where a task's files are, under GLUE's folder."""
    return root / TASKS[task].folder


def tasks_there(root: Path) -> list[str]:
    """The tasks whose training data are there; MNLI first, since others may start from its model."""
    there = [
        task
        for task in GLUE
        if any(
            (folder_of(root, task) / name).exists()
            for name in ("train.tsv", "msr_paraphrase_train.txt")
        )
    ]
    return sorted(there, key=lambda task: task != "mnli")


# ---------------------------------------------------------------- the table


def rows_of(found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a task, in GLUE's order; scores in percent."""
    rows = []
    for task in GLUE:
        if task not in found:
            continue
        result = found[task]
        values = [100 * seed["dev"] for seed in result["seeds"]]
        mean, sd = mean_sd(values)
        further = {
            name: mean_sd([100 * seed["dev_metrics"][name] for seed in result["seeds"]])
            for name in result["also"]
        }
        further |= {
            f"{name} {metric}": mean_sd([100 * value for value in of_seeds])
            for name, measured in result["more"].items()
            for metric, of_seeds in measured.items()
        }
        rows.append(
            {
                "task": task,
                "metric": result["metric"],
                "seeds": len(values),
                "mean": mean,
                "sd": sd,
                "median": 100 * result["dev_median"],
                "best": max(values),
                "further": further,
                "seconds": result["seconds"],
                "collapsed": any(seed["collapsed"] for seed in result["seeds"]),
            }
        )
    return rows


def average(scores: dict[str, float]) -> float | None:
    """Of the tasks that the paper averages; None where one is missing."""
    wanted = [task for task in GLUE if task not in NOT_AVERAGED]
    return (
        sum(scores[task] for task in wanted) / len(wanted) if set(wanted) <= set(scores) else None
    )


def markdown(rows: Sequence[dict[str, Any]], references: bool) -> str:
    """The table for people; percent, dev sets."""
    published = REFERENCES if references else {}
    spread = lambda mean, sd, seeds: f"{mean:.1f} ± {sd:.1f}" if seeds > 1 else f"{mean:.1f}"
    lines = [["task", "metric", "dev", "median", "best", "further", "seconds", *published]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        further = ", ".join(
            f"{name} {spread(*values, row['seeds'])}" for name, values in row["further"].items()
        )
        lines.append(
            [
                row["task"] + (" (one class!)" if row["collapsed"] else ""),
                row["metric"],
                spread(row["mean"], row["sd"], row["seeds"]),
                f"{row['median']:.1f}",
                f"{row['best']:.1f}",
                further,
                f"{row['seconds']:,.0f}",
                *(str(scores.get(row["task"], "–")) for scores in published.values()),
            ]
        )
    whole = average({row["task"]: row["mean"] for row in rows})
    note = (
        "GLUE average"
        if whole is not None
        else f"no GLUE average: {len(rows)} of {len(GLUE)} tasks have data"
    )
    lines.append(
        [
            f"{note} (without WNLI)" if whole is not None else note,
            "",
            "–" if whole is None else f"{whole:.1f}",
            "",
            "",
            "",
            f"{sum(row['seconds'] for row in rows):,.0f}",
            *(f"{average(scores):.1f}" for scores in published.values()),
        ]
    )
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def write_table(out: Path, found: dict[str, dict[str, Any]], references: bool) -> None:
    """glue.json and glue.md, and the table on the screen."""
    rows = rows_of(found)
    table = markdown(rows, references)
    write_atomically(out / "glue.json", (json.dumps({"rows": rows}, indent=1) + "\n").encode())
    write_atomically(out / "glue.md", table.encode())
    print(f"\n{table}\n{out / 'glue.md'} and glue.json are written")


# ---------------------------------------------------------------- the submission


def check_rows(name: str, sets: dict[str, int]) -> None:
    """Raises ValueError where a set that goes into a submission has not as many rows as the server wants."""
    for file in FILES:
        if file.task == name and sets.get(file.set, file.rows) != file.rows:
            raise ValueError(
                f"--submission: GLUE's {file.name} has {file.rows:,} rows to predict, the {file.set} set of "
                f"{name} here has {sets[file.set]:,}"
            )


def write_submission(out: Path, found: dict[str, dict[str, Any]]) -> None:
    """`submission/` with the eleven files, and submission.zip of them; each by the best seed on the dev set, or, without
    data, the majority's answer in every row."""
    made, packed, guessed = {}, BytesIO(), []
    for file in FILES:
        path = out / file.task / f"{file.set}_predictions.tsv"
        if file.task in found and path.exists():
            seeds = [seed["seed"] for seed in found[file.task]["seeds"]]
            best = seeds.index(found[file.task]["best_seed"])
            answers = _answers(file.task, read_every_seed(path, seeds).by_seed[best])
        else:
            answers = [file.majority] * file.rows
            guessed.append(file.name)
        assert len(answers) == file.rows, file
        made[f"{file.name}.tsv"] = "index\tprediction\n" + "".join(
            f"{i}\t{a}\n" for i, a in enumerate(answers)
        )
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in made.items():
            write_atomically(out / "submission" / name, text.encode())
            archive.writestr(
                zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED
            )
    write_atomically(out / "submission.zip", packed.getvalue())
    print(
        f"{out / 'submission'} and submission.zip are written"
        + (
            f"; the majority's answer stands in {', '.join(guessed)}, for which there are no data"
            if guessed
            else ""
        )
    )


def _answers(task: str, predictions: list[str]) -> list[str]:
    """Label words, or values, as the server writes them."""
    row = TASKS[task]
    if row.regression:
        return [f"{min(max(float(value), 0.0), row.scale):.3f}" for value in predictions]
    words = dict(zip(row.labels, row.words))
    return [words[prediction] for prediction in predictions]
