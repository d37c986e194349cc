"""Reader of GLUE in its own layout (Wang et al. 2019; gluebenchmark.com)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from electra.tasks.rows import example_maker, read_examples
from electra.tasks.tables import read_table
from electra.tasks.task import Example, Task, TaskData

MRPC_IDS = ("#1 ID", "#2 ID")  # columns of MRPC


def load_glue(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """A folder of GLUE. Its train and dev sets must be there, others may be.

    Raises ValueError for a file that is missing or not what the task expects.
    """
    if task.name == "mrpc" and not (root / "train.tsv").exists():
        return _load_original_mrpc(task, root, skip_bad)

    sets: dict[str, list[Example]] = {}
    skipped = 0
    for part, path in _glue_files(task, root).items():
        if part not in ("train", "dev") and not path.is_file():
            continue
        unlabelled = part.startswith("test") or part == "ax"
        sets[part], bad = read_examples(
            path,
            replace(task, header=True) if unlabelled else task,
            label_optional=unlabelled,
            skip_bad=skip_bad,
        )
        skipped += bad

    train, dev, test = sets.pop("train"), sets.pop("dev"), sets.pop("test", None)
    return TaskData(task, task.labels, train, dev, test, sets, skipped)


def _glue_files(task: Task, root: Path) -> dict[str, Path]:
    """Name of each set -> its file, whether it is there or not."""
    if task.name != "mnli":
        return {part: root / f"{part}.tsv" for part in ("train", "dev", "test")}
    # The diagnostic set has a folder of its own beside MNLI's; MNLI's model answers it.
    diagnostics = [root.absolute().parent / "AX" / name for name in ("diagnostic.tsv", "AX.tsv")]
    return {
        "train": root / "train.tsv",
        "dev": root / "dev_matched.tsv",
        "test": root / "test_matched.tsv",
        "dev_mismatched": root / "dev_mismatched.tsv",
        "test_mismatched": root / "test_mismatched.tsv",
        "ax": next((path for path in diagnostics if path.is_file()), diagnostics[0]),
    }


def _load_original_mrpc(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """GLUE's MRPC from the files of its authors and GLUE's list of the dev set.

    The files are msr_paraphrase_train.txt and, if it is there, msr_paraphrase_test.txt. The labels
    of the latter are not read, since GLUE's test set has none.
    """
    source = root / "msr_paraphrase_train.txt"
    if not source.is_file():
        raise ValueError(
            f"{root / 'train.tsv'}: no such file, and no {source.name} to make it from"
        )
    in_dev, bad_ids = _read_dev_ids(root, skip_bad)
    labelled, bad = _read_pairs_with_ids(source, task, skip_bad)
    unknown = in_dev - {ids for ids, _ in labelled}
    if unknown and not skip_bad:  # with skip_bad the line may be one that was left out
        raise ValueError(
            f"{source}: no sentences {' and '.join(min(unknown))}, a pair that is listed for the "
            f"dev set"
        )

    test, bad_test = None, 0
    test_source = root / "msr_paraphrase_test.txt"
    if test_source.is_file():
        make = example_maker(task)
        test, bad_test = read_table(
            test_source,
            task.text,
            lambda one, two: make(one, two, None),
            kind=".tsv",
            skip_bad=skip_bad,
        )
    train = [example for ids, example in labelled if ids not in in_dev]
    dev = [example for ids, example in labelled if ids in in_dev]
    return TaskData(task, task.labels, train, dev, test, skipped=bad_ids + bad + bad_test)


def _read_dev_ids(root: Path, skip_bad: bool) -> tuple[set[tuple[str, str]], int]:
    """(the ids of the pairs in the dev set, how many lines were left out)."""
    lists = [root / "dev_ids.tsv", root / "mrpc_dev_ids.tsv"]
    path = next((path for path in lists if path.is_file()), lists[0])
    ids, skipped = read_table(
        path, MRPC_IDS, lambda one, two: (one, two), header=MRPC_IDS, skip_bad=skip_bad
    )
    return set(ids), skipped


def _read_pairs_with_ids(
    path: Path, task: Task, skip_bad: bool
) -> tuple[list[tuple[tuple[str, str], Example]], int]:
    """(both ids and the example of each line, how many lines were left out)."""
    make = example_maker(task)
    return read_table(
        path,
        (*MRPC_IDS, *task.text, task.label),
        lambda one, two, *rest: ((one, two), make(*rest)),
        kind=".tsv",
        skip_bad=skip_bad,
    )
