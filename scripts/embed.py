#!/usr/bin/env python3
"""One vector a text, from the encoder of any checkpoint.

    python scripts/embed.py --ckpt data/pretrained/tiny-en.pt "a fine film" "a waste of time"
    python scripts/embed.py --ckpt runs/pairs/ckpt.pt --file reviews.txt --out vectors.npy

One text a line, or with .jsonl (or --jsonl) one object a line with "text". With --out the vectors
are the rows of a NumPy file, in the order of the texts, empty lines too; without it the output is
one JSON object a line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.config import AMP_CHOICES, POOLINGS
from electra.inference.texts import given_records
from electra.inference.vectors import (
    EmbeddedTexts,
    check_vector_file,
    load_text_encoder,
    vector_lines,
    write_vectors,
)


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    # A reader of the vectors (head, less) may have had enough of them: that is no error.
    return run_cli("embed.py", lambda: run(parse_args(argv)), closed_pipe=0)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = Parser(prog="embed.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "texts", nargs="*", help="texts to embed (default: --file, or standard input)"
    )
    parser.add_argument(
        "--ckpt", required=True, help="checkpoint of train.py, finetune.py or convert.py import"
    )
    parser.add_argument("--file", type=Path, help="one text a line; .jsonl: one object a line")
    parser.add_argument(
        "--jsonl", action="store_true", help="the lines are JSON objects, whatever the file's name"
    )
    parser.add_argument(
        "--pooling",
        choices=POOLINGS,
        help="the mean of the tokens, or the vector of [CLS] (default: mean; after finetune.py "
        "--task pairs as in training)",
    )
    parser.add_argument(
        "--normalise",
        action=argparse.BooleanOptionalAction,
        help="make every vector of length 1 (default: only after finetune.py --task pairs)",
    )
    add_output_flags(parser)
    args = parser.parse_args(argv)
    if args.texts and args.file:
        parser.error("give texts or --file, not both")
    if args.texts and args.jsonl:
        parser.error("--jsonl is for --file and standard input")
    if args.force and not args.out:
        parser.error("--force is for --out")
    return args


def add_output_flags(parser: Parser) -> None:
    """Where the vectors go, and how they are computed."""
    parser.add_argument("--out", type=Path, help="NumPy file of float32, (texts, hidden size)")
    parser.add_argument("--force", action="store_true", help="replace the file of --out")
    _add_machine_flags(parser)


def _add_machine_flags(parser: Parser) -> None:
    parser.add_argument(
        "--max-len", type=int, help="longest text in tokens, the rest is cut (default: as trained)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)"
    )
    parser.add_argument(
        "--amp", choices=AMP_CHOICES, default="off", help="mixed precision (default: off)"
    )


def run(args: argparse.Namespace) -> None:
    if args.out:
        check_vector_file(args.out, args.force)
    records = given_records(args.texts, args.file, args.jsonl)
    encoder = load_text_encoder(
        args.ckpt, args.pooling, args.normalise, args.max_len, args.device, args.amp
    )
    windows = EmbeddedTexts(encoder, records, str(args.file or "standard input"))
    if args.out:
        count = write_vectors(args.out, windows, encoder.width)
        print(f"{args.out}: {count:,} vectors of {encoder.width} numbers")
    else:
        sys.stdout.writelines(f"{line}\n" for line in vector_lines(windows))
    if windows.cut:
        print(windows.remark(), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
