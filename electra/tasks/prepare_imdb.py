"""The aclImdb folder as two tables for fine-tuning and one text for pre-training."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

from electra.tasks.imdb import find_imdb, read_imdb_split, read_reviews
from electra.tasks.rows import clean_review
from electra.tasks.task import Example

TABLES = {"train.csv": "train", "test.csv": "test"}  # file -> split
TEXT = "unsup.txt"


def prepare_imdb(folder: Path, out: Path, force: bool = False) -> list[str]:
    """Write train.csv, test.csv and unsup.txt into `out`, all or none. Returns what is in each.

    `folder` is aclImdb, or the folder that holds it. Raises ValueError where it is not the whole
    of aclImdb, and for files that are there already, without `force`.
    """
    names = (*TABLES, TEXT)
    present = [name for name in names if (out / name).exists()]
    if present and not force:
        raise ValueError(
            f"{out} already holds {', '.join(present)}; give --force to replace, or another --out"
        )
    root = find_imdb(folder)
    tables = {name: read_imdb_split(root, split) for name, split in TABLES.items()}
    reviews = read_reviews(root / "train" / "unsup")
    documents = [document for review in reviews if (document := as_document(review))]

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=out) as temporary:
        staging = Path(temporary)
        for name, examples in tables.items():
            write_table(staging / name, examples)
        (staging / TEXT).write_text("\n\n".join(documents) + "\n", encoding="utf-8", newline="\n")
        for name in names:
            os.replace(staging / name, out / name)

    lines = []
    for name, examples in tables.items():
        positive = sum(example.label == 1 for example in examples)
        lines.append(f"{out / name}: {len(examples):,} reviews ({positive:,} positive)")
    empty = len(reviews) - len(documents)
    note = f" ({empty:,} empty reviews left out)" if empty else ""
    return [*lines, f"{out / TEXT}: {len(documents):,} documents{note}"]


def as_document(review: str) -> str:
    """A review as the lines of one document: `<br />` ends a line.

    No line is blank, since a blank line ends a document.
    """
    lines = (line.strip() for line in clean_review(review).split("\n"))
    return "\n".join(line for line in lines if line)


def write_table(path: Path, examples: list[Example]) -> None:
    """Write a CSV with the columns text and label (0 or 1)."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows((example.text_a, example.label) for example in examples)
