#!/usr/bin/env python3
"""Compare BERT and ELECTRA, each as it is and post-pre-trained on film reviews, in one command.

    python scripts/compare_models.py --sample             everything on the sample, a few minutes
    python scripts/compare_models.py --imdb data/aclImdb --sst2 data/SST-2 --corpus wiki.raw \\
        --size small --minutes 60
    python scripts/compare_models.py --imdb data/aclImdb --sst2 data/SST-2 \\
        --electra electra.pt --bert bert.pt

Pre-trains both models, or takes two checkpoints; post-pre-trains each on IMDb's unsupervised
reviews; fine-tunes the four models, and random weights, on IMDb and SST-2 over --seeds; and adds
the bag-of-n-grams baseline. With --minutes both objectives get the same time, with --steps the same
FLOPs. Every stage is a command of train.py or finetune.py, which is printed. Finished stages are
skipped; interrupted ones resume. Writes results.json, table.md and report.html.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from electra.cli import parse, run_cli
from electra.comparison.compare import compare_models
from electra.comparison.settings import SAMPLE, ComparisonConfig

ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli(
        "compare_models.py",
        lambda: run(sys.argv[1:] if argv is None else argv),
        stopped="stopped; the same command resumes it",
        closed_pipe=None,
    )


def run(argv: list[str]) -> None:
    assert __doc__ is not None
    config, _ = parse(
        ComparisonConfig,
        "compare_models.py",
        __doc__.split("\n")[0],
        argv,
        defaults=SAMPLE if "--sample" in argv else None,
    )
    compare_models(config, f"python scripts/compare_models.py {shlex.join(argv)}", ROOT)


if __name__ == "__main__":
    sys.exit(main())
