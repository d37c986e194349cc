"""Fetch, verify and unpack data sets and released checkpoints.

    python scripts/download.py imdb

    wikitext-103  -> data/wikitext-103-raw/wiki.{train,valid,test}.raw
    sst2          -> data/SST-2/{train,dev,test}.tsv
    imdb          -> data/aclImdb/{train,test}/...
    glue          -> data/glue/{CoLA,RTE,...}/...; MRPC as the two files of its authors and GLUE's
                     list of dev ids
    electra-small -> data/electra-small/{discriminator,generator}/
                     {config.json,vocab.txt,tokenizer_config.json,pytorch_model.bin}
    electra-base, electra-large: likewise
    bert-base     -> data/bert-base/{config.json,vocab.txt,tokenizer_config.json,model.safetensors}

The same command resumes a download that was interrupted. An archive that is already on disk is
used with --from. Checkpoints are plain files, as scripts/convert.py import reads them; here they
are bytes, and nothing in them is run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.download.addresses import DATA_SETS
from electra.download.install import install
from electra.files import one_line


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli(
        "download.py",
        lambda: run(parse_args(argv)),
        stopped="stopped; the same command resumes the download",
        closed_pipe=None,
    )


def run(args: argparse.Namespace) -> None:
    for line in install(args.data_set, args.to, args.archive, args.url, args.sha256):
        print(one_line(line))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="download.py",
        description="Fetch, verify and unpack a data set, or fetch the files of a released "
        "checkpoint, for scripts/convert.py import.",
    )
    parser.add_argument("data_set", choices=tuple(DATA_SETS))
    parser.add_argument(
        "--to", type=Path, default=Path("data"), help="folder to put it into (default: data)"
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="archive",
        metavar="FILE",
        help="an archive that is already here (.zip, .tar, .tar.gz, .tar.xz): nothing is "
        "downloaded; not for a checkpoint, which is no archive",
    )
    parser.add_argument(
        "--url",
        help="another address of the archive (not for glue and checkpoints, which are many)",
    )
    parser.add_argument(
        "--sha256", help="hash that the archive must have (default: the official one, where known)"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
