"""The tasks that have a name: the table `TASKS`.

To add a task whose files are laid out as GLUE's: a row with `layout="glue"`. A task with another
layout also needs a reader in a file of its own and a line in `load_task` (load.py) that calls it.
"""

from __future__ import annotations

from pathlib import Path

from electra.tasks.task import Task

_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")
# Metrics and epochs are those of the ELECTRA paper (Clark et al. 2020, section 3.1, appendix B).
TASKS = {
    task.name: task
    for task in (
        Task(
            "cola",
            ("unacceptable", "acceptable"),
            ("0", "1"),
            metric="matthews",
            layout="glue",
            folder="CoLA",
            text=("sentence",),
            # Its test set has a header, of `index` and `sentence`.
            header=("source", "label", "mark", "sentence"),
        ),
        Task(
            "sst2",
            ("negative", "positive"),
            ("0", "1"),
            layout="glue",
            folder="SST-2",
            text=("sentence",),
        ),
        Task(
            "mrpc",
            ("different", "equivalent"),
            ("0", "1"),
            also=("f1",),
            both_orders=True,
            layout="glue",
            folder="MRPC",
            text=("#1 String", "#2 String"),
            label="Quality",
        ),
        Task(
            "stsb",
            metric="spearman",
            also=("pearson",),
            epochs=10,
            kind="regression",
            scale=5.0,
            both_orders=True,
            layout="glue",
            folder="STS-B",
            text=_PAIR,
            label="score",
        ),
        Task(
            "qqp",
            ("different", "duplicate"),
            ("0", "1"),
            also=("f1",),
            layout="glue",
            folder="QQP",
            text=("question1", "question2"),
            label="is_duplicate",
        ),
        Task(
            "mnli",
            *2 * (("entailment", "neutral", "contradiction"),),
            layout="glue",
            folder="MNLI",
            text=_PAIR,
            label="gold_label",
        ),
        Task(
            "qnli",
            _ENTAILMENT,
            _ENTAILMENT,
            layout="glue",
            folder="QNLI",
            text=("question", "sentence"),
        ),
        Task("rte", _ENTAILMENT, _ENTAILMENT, epochs=10, layout="glue", folder="RTE", text=_PAIR),
        Task(
            "wnli",
            ("not_entailment", "entailment"),
            ("0", "1"),
            layout="glue",
            folder="WNLI",
            text=_PAIR,
        ),
        Task(
            "imdb",
            ("negative", "positive"),
            ("0", "1"),
            max_len=512,
            truncate="tail",  # measured: docs/fine-tuning.md
            layout="imdb",
            folder="aclImdb",
        ),
        Task("csv"),
        Task(
            "conll",
            kind="tags",
            metric="span_f1",
            also=("precision", "recall"),
            layout="conll",
            folder="conll2000",
        ),
        Task(
            "pairs",
            kind="vectors",
            metric="spearman",
            also=("pearson",),
            folder="STS-B",
            text=_PAIR,
            label="score",
        ),
        Task(
            "squad",
            kind="spans",
            metric="answer_f1",
            also=("exact_match",),
            max_len=384,
            epochs=2,
            layout="squad",
            folder="squad",
        ),
    )
}
# The tasks of the benchmark, in the order of its table.
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def task_named(name: str) -> Task:
    """The row of a task. Raises ValueError for a name that is not in `TASKS`."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]


def default_folder(name: str) -> str:
    """Where scripts/download.py puts a task's data, relative to the working folder.

    SST-2 may be in two folders: the first that exists. Raises ValueError for a name that is not in
    `TASKS`, and for csv, whose files are the user's.
    """
    folder = task_named(name).folder
    if not folder:
        raise ValueError(f"task {name} has no folder of its own; name its file or folder")
    in_glue = name in GLUE or name == "pairs"  # the pairs of STS-B
    candidates = [f"data/glue/{folder}"] if in_glue else [f"data/{folder}"]
    if name == "sst2":
        candidates.insert(0, f"data/{folder}")
    return next((path for path in candidates if Path(path).is_dir()), candidates[0])
