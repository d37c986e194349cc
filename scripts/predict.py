"""Judge texts with a checkpoint: a classifier's labels, or an ELECTRA's replaced words.

    python scripts/predict.py --ckpt runs/sst2-tiny-en/ckpt.pt "a fine film" "a waste of time"
    python scripts/predict.py --ckpt runs/sst2-tiny-en/ckpt.pt --file reviews.txt > answers.jsonl
    python scripts/predict.py --ckpt data/pretrained/tiny-en.pt --view < letters.txt

One text a line, or with .jsonl (or --jsonl) one object a line with "text" and, for a classifier of
pairs, "text_b". The output is one JSON object a line, for empty lines too, in the same order.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.config import AMP_CHOICES
from electra.files import is_utf8
from electra.inference.predictor import BATCH_TOKENS, CPU_BATCH_TOKENS, load_predictor
from electra.inference.stream import answer_lines
from electra.inference.texts import given_records


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    # A reader of the predictions (head, less) may have had enough of them: that is no error.
    return run_cli("predict.py", lambda: run(parse_args(argv)), closed_pipe=0)


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    parser = Parser(prog="predict.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "texts", nargs="*", help="texts to judge (default: --file, or standard input)"
    )
    parser.add_argument(
        "--ckpt",
        required=True,
        help="checkpoint or run folder of finetune.py, or of train.py with ELECTRA",
    )
    parser.add_argument("--file", type=Path, help="one text a line; .jsonl: one object a line")
    parser.add_argument(
        "--jsonl", action="store_true", help="the lines are JSON objects, whatever the file's name"
    )
    parser.add_argument("--question", help="a reader: what is asked about each of the texts")
    parser.add_argument(
        "--view",
        action="store_true",
        help="ELECTRA: text with its suspicious words marked, not JSON (on a terminal always)",
    )
    add_machine_flags(parser)
    args = parser.parse_args(argv)
    if args.texts and args.file:
        parser.error("give texts or --file, not both")
    if args.texts and args.jsonl:
        parser.error("--jsonl is for --file and standard input")
    return args


def add_machine_flags(parser: Parser) -> None:
    """How long and how many the texts of a batch are, and where they are read."""
    parser.add_argument(
        "--batch-tokens",
        type=int,
        help=f"tokens of a batch (default: {BATCH_TOKENS}; on a CPU {CPU_BATCH_TOKENS})",
    )
    parser.add_argument(
        "--max-len", type=int, help="longest example in tokens (default: as in training)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)"
    )
    parser.add_argument(
        "--amp", choices=AMP_CHOICES, default="auto", help="mixed precision (default: auto)"
    )


def run(args: argparse.Namespace) -> None:
    predictor = load_predictor(args.ckpt, args.max_len, args.batch_tokens, args.device, args.amp)
    if args.view and predictor.task is not None:
        raise ValueError(
            f"--view shows replaced words, but {args.ckpt} is a {predictor.model.kind}; leave it "
            f"out"
        )
    if args.question is not None and predictor.model.kind != "reader":
        raise ValueError(f"--question is for a reader, but {args.ckpt} is a {predictor.model.kind}")
    terminal = sys.stdout.isatty()
    lines = answer_lines(
        predictor,
        given_records(args.texts, args.file, args.jsonl, args.question),
        args.view or terminal,
        colour=terminal,
        ascii_only=not is_utf8(sys.stdout),  # the texts come out as they went in
    )
    sys.stdout.writelines(f"{line}\n" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
