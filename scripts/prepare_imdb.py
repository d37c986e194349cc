"""The aclImdb folder -> train.csv and test.csv (columns text, label) and unsup.txt.

    python scripts/prepare_imdb.py data/aclImdb --out data/imdb

unsup.txt is for pre-training: one review a paragraph with a blank line between, so that each is a
document of its own. No test review is in it. `finetune.py --task imdb` reads either folder, with
the same result.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.files import one_line
from electra.tasks.prepare_imdb import prepare_imdb


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("prepare_imdb.py", lambda: run(parse_args(argv)), closed_pipe=None)


def run(args: argparse.Namespace) -> None:
    for line in prepare_imdb(args.folder, args.out, args.force):
        print(one_line(line))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="prepare_imdb.py",
        description="Turn the aclImdb folder into train.csv, test.csv and unsup.txt.",
    )
    parser.add_argument("folder", type=Path, help="aclImdb, or the folder that holds it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the three files")
    parser.add_argument("--force", action="store_true", help="replace files of an earlier run")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
