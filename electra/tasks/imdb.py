"""Reader of IMDb reviews: the aclImdb folder (Maas et al. 2011), or the tables made of it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from electra.tasks.known_tasks import TASKS
from electra.tasks.rows import clean_review, read_examples
from electra.tasks.tables import read_text
from electra.tasks.task import Example, TaskData, hold_out_examples

_REVIEW_NAME = re.compile(r"(\d+)_(\d+)\.txt")


def find_imdb(folder: Path) -> Path:
    """The folder that holds train/ and test/: `folder` itself or `folder`/aclImdb."""
    inner = folder / "aclImdb"
    return inner if inner.is_dir() else folder


def read_reviews(folder: Path) -> list[str]:
    """All reviews of a folder of ID_RATING.txt files, sorted by ID, as they are on disk.

    Raises ValueError for a folder that is missing or holds no review, for another kind of file in
    it, and for bytes that are not UTF-8.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: missing; unpack the whole archive (scripts/download.py imdb)")

    numbered = []
    for name in os.listdir(folder):
        if name.startswith("."):  # what file managers leave behind
            continue
        match = _REVIEW_NAME.fullmatch(name)
        if match is None or not (folder / name).is_file():
            raise ValueError(
                f"{folder / name}: not a review (reviews are named ID_RATING.txt); move it "
                f"elsewhere"
            )
        numbered.append((int(match[1]), int(match[2]), name))
    if not numbered:
        raise ValueError(
            f"{folder}: holds no review; unpack the whole archive (scripts/download.py imdb)"
        )
    return [read_text(folder / name) for _, _, name in sorted(numbered)]


def read_imdb_split(root: Path, split: str) -> list[Example]:
    """The labelled reviews of "train" or "test", cleaned: negative ones (0), then positive ones.

    `root` is the folder that `find_imdb` finds. Raises ValueError as `read_reviews` does.
    """
    return [
        Example(clean_review(text), None, label)
        for label, word in enumerate(("neg", "pos"))
        for text in read_reviews(root / split / word)
    ]


def load_imdb(folder: Path, seed: int, skip_bad: bool) -> TaskData:
    """Reviews as train.csv and test.csv (scripts/prepare_imdb.py), or in aclImdb's own folders.

    aclImdb has no dev set: a tenth of train is held out, drawn by `seed`. That tenth has films in
    common with the rest of train, as test has not, so accuracy may be somewhat higher on it.
    Raises ValueError for files that are missing or not what the task expects.
    """
    task, skipped = TASKS["imdb"], 0
    tables = [folder / "train.csv", folder / "test.csv"]
    if any(path.exists() for path in tables):
        train, bad_train = read_examples(tables[0], task, skip_bad=skip_bad)
        test, bad_test = read_examples(tables[1], task, label_optional=True, skip_bad=skip_bad)
        skipped = bad_train + bad_test
    else:
        root = find_imdb(folder)
        _require_imdb_folders(root)
        train, test = read_imdb_split(root, "train"), read_imdb_split(root, "test")
    train, dev = hold_out_examples(train, seed, folder)
    return TaskData(task, task.labels, train, dev, test, skipped=skipped)


def _require_imdb_folders(root: Path) -> None:
    """Raise a ValueError that names every missing folder."""
    wanted = [f"{split}/{word}" for split in ("train", "test") for word in ("neg", "pos")]
    missing = [part for part in wanted if not (root / part).is_dir()]
    if missing:
        raise ValueError(
            f"{root}: missing {', '.join(missing)}; needs all of {', '.join(wanted)}, or "
            f"train.csv and test.csv from scripts/prepare_imdb.py"
        )
