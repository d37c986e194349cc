"""Whether one fine-tuning is better than another on the same task, or only luckier.

    python scripts/significance.py runs/sst2-electra/result.json runs/sst2-bert/result.json
    python scripts/significance.py A/result.json B/result.json --samples 100000 --json

Prints 95% intervals of A - B on the main metric of the task, over seeds and over examples. The
interval over examples needs dev_predictions.tsv and test_predictions.tsv beside each result.json.
Accuracy takes no time; for other metrics every resample is scored, which can take a minute. See
electra/evaluation/significance.py for the methods.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from electra.cli import Parser, run_cli
from electra.evaluation.compared_results import PARTS, check_comparable, read_result
from electra.evaluation.significance import MIN_SAMPLES, compare
from electra.evaluation.significance_text import as_object, as_text


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("significance.py", lambda: run(parse_args(argv)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="significance.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("a", type=Path, metavar="A", help="result.json of finetune.py")
    parser.add_argument(
        "b", type=Path, metavar="B", help="result.json of another run on the same task"
    )
    parser.add_argument(
        "--samples", type=int, default=10_000, help="resamples of the bootstrap (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the resamples (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one object, scores as fractions")
    args = parser.parse_args(argv)

    if args.samples < MIN_SAMPLES:
        parser.error(f"--samples must be {MIN_SAMPLES} or more, not {args.samples}")
    if args.seed < 0:
        parser.error(f"--seed must be 0 or more, not {args.seed}")
    return args


def run(args: argparse.Namespace) -> None:
    a, b = read_result(args.a), read_result(args.b)
    check_comparable(a, b)
    compared = {
        part: compare(a, b, part, args.samples, args.seed)
        for part in PARTS
        if part in a.scores and part in b.scores
    }
    if args.json:
        print(json.dumps(as_object(a, b, compared, args.samples, args.seed)))
    else:
        print(as_text(a, b, compared, args.samples))


if __name__ == "__main__":
    sys.exit(main())
