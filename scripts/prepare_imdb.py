"""The aclImdb folder -> train.csv and test.csv (columns text, label) and unsup.txt for pre-training.

    python scripts/prepare_imdb.py data/aclImdb --out data/imdb

unsup.txt holds one review a paragraph with a blank line between, so that each is a document of its own. No test
review is in it. `finetune.py --task imdb` reads either folder, with the same result.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path

from electra.cli import one_line
from electra.tasks.imdb import find_imdb, read_imdb_split, read_reviews
from electra.tasks.rows import clean_review
from electra.tasks.task import Example


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        prepare(args.folder, args.out, args.force)
    except (ValueError, OSError) as error:
        print(f"prepare_imdb.py: error: {one_line(error)}", file=sys.stderr)
        return 2
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="prepare_imdb.py",
        description="Turn the aclImdb folder into train.csv, test.csv and unsup.txt.",
    )
    parser.add_argument("folder", type=Path, help="aclImdb, or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    parser.add_argument("--force", action="store_true", help="replace files of an earlier run")
    return parser.parse_args(argv)


def prepare(folder: Path, out: Path, force: bool) -> None:
    """Write the three files into `out`, all or none, and print how much is in each.

    ValueError for a folder that is not the whole of aclImdb, and for files already there without `force`.
    """
    names = ("train.csv", "test.csv", "unsup.txt")
    present = [name for name in names if (out / name).exists()]
    if present and not force:
        raise ValueError(
            f"{out} already holds {', '.join(present)}; give --force to replace, or another --out"
        )
    root = find_imdb(folder)
    splits = {
        "train.csv": read_imdb_split(root, "train"),
        "test.csv": read_imdb_split(root, "test"),
    }
    reviews = read_reviews(root / "train" / "unsup")
    documents = [document for review in reviews if (document := as_document(review))]

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=out) as temporary:
        staging = Path(temporary)
        for name, examples in splits.items():
            write_csv(staging / name, examples)
        (staging / "unsup.txt").write_text(
            "\n\n".join(documents) + "\n", encoding="utf-8", newline="\n"
        )
        for name in names:
            os.replace(staging / name, out / name)

    for name, examples in splits.items():
        positive = sum(example.label for example in examples)
        print(f"{out / name}: {len(examples):,} reviews ({positive:,} positive)")
    empty = len(reviews) - len(documents)
    note = f" ({empty:,} empty reviews left out)" if empty else ""
    print(f"{out / 'unsup.txt'}: {len(documents):,} documents{note}")


def as_document(review: str) -> str:
    """A review as the lines of one document: `<br />` breaks lines, none is blank, for a blank line ends a document."""
    lines = (line.strip() for line in clean_review(review).split("\n"))
    return "\n".join(line for line in lines if line)


def write_csv(path: Path, examples: list[Example]) -> None:
    """Columns text and label (0 or 1), quoted where needed."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("text", "label"))
        writer.writerows((example.text_a, example.label) for example in examples)


if __name__ == "__main__":
    sys.exit(main())
