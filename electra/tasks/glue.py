"""Readers of GLUE in its own layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from electra.tasks.rows import example_maker, read_examples
from electra.tasks.tables import read_table
from electra.tasks.task import Task, TaskData


def load_glue(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """A folder of GLUE; its train and dev sets must be there, others may be."""
    if task.name == "mrpc" and not (root / "train.tsv").exists():
        return _load_mrpc_of_its_authors(task, root, skip_bad)
    sets, skipped = {}, 0
    for part, path in _glue_files(task, root).items():
        unlabelled = part.startswith("test") or part == "ax"
        if path.is_file() or part in ("train", "dev"):
            sets[part], bad = read_examples(
                path,
                replace(task, header=True) if unlabelled else task,
                label_optional=unlabelled,
                skip_bad=skip_bad,
            )
            skipped += bad
    return TaskData(
        task, task.labels, sets.pop("train"), sets.pop("dev"), sets.pop("test", None), sets, skipped
    )


def _glue_files(task: Task, root: Path) -> dict[str, Path]:
    """Name of each set -> its file, whether it is there or not."""
    if task.name != "mnli":
        return {part: root / f"{part}.tsv" for part in ("train", "dev", "test")}
    # The diagnostic set has a folder of its own beside MNLI's, and is answered by MNLI's model.
    diagnostics = [root.absolute().parent / "AX" / name for name in ("diagnostic.tsv", "AX.tsv")]
    return {
        "train": root / "train.tsv",
        "dev": root / "dev_matched.tsv",
        "test": root / "test_matched.tsv",
        "dev_mismatched": root / "dev_mismatched.tsv",
        "test_mismatched": root / "test_mismatched.tsv",
        "ax": next((path for path in diagnostics if path.is_file()), diagnostics[0]),
    }


def _load_mrpc_of_its_authors(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """GLUE's MRPC from msr_paraphrase_train.txt, msr_paraphrase_test.txt and GLUE's list of the dev set's ids.

    The labels in the authors' test file are left aside: GLUE's test set has none.
    """
    source = root / "msr_paraphrase_train.txt"
    if not source.is_file():
        raise ValueError(
            f"{root / 'train.tsv'}: no such file, and no {source.name} to make it from"
        )
    lists = [root / "dev_ids.tsv", root / "mrpc_dev_ids.tsv"]
    ids, make = ("#1 ID", "#2 ID"), example_maker(task)
    listed_ids, bad_ids = read_table(
        next((path for path in lists if path.is_file()), lists[0]),
        ids,
        lambda one, two: (one, two),
        header=ids,
        skip_bad=skip_bad,
    )
    labelled, bad = read_table(
        source,
        (*ids, *task.text, task.label),
        lambda one, two, *rest: ((one, two), make(*rest)),
        kind=".tsv",
        skip_bad=skip_bad,
    )
    in_dev = set(listed_ids)
    unknown = in_dev - {pair for pair, _ in labelled}
    if unknown and not skip_bad:  # else its line may be one of those left out
        raise ValueError(
            f"{source}: no sentences {' and '.join(min(unknown))}, a pair that is listed for the dev set"
        )
    test, bad_test, test_source = None, 0, root / "msr_paraphrase_test.txt"
    if test_source.is_file():
        test, bad_test = read_table(
            test_source,
            task.text,
            lambda one, two: make(one, two, None),
            kind=".tsv",
            skip_bad=skip_bad,
        )
    return TaskData(
        task,
        task.labels,
        [example for pair, example in labelled if pair not in in_dev],
        [example for pair, example in labelled if pair in in_dev],
        test,
        skipped=bad_ids + bad + bad_test,
    )
