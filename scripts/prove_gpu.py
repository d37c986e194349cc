#!/usr/bin/env python3
"""Prove on a GPU that everything runs, is right, how fast it is and what it learns.

    python scripts/prove_gpu.py --data data --out runs/gpu
    python scripts/prove_gpu.py --rehearse --out /tmp/rehearsal

Stages run one after the other, the most important first, each in a process of its own with a time
limit. After each one gpu.json and gpu.md are written anew. --data holds aclImdb and SST-2, unpacked
or as archives (aclImdb_v1.tar.gz or .tar.xz, SST-2.zip). Exit code 0 where no stage failed, 1 where
one did, 2 after a mistake on the command line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from electra.cli import Parser, run_cli
from electra.gpu_proof.prove import prove
from electra.gpu_proof.stages import STAGES


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = __doc__.partition("\n")
    parser = Parser(
        prog="prove_gpu.py",
        description=first,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument(
        "--data", type=Path, help="folder with aclImdb and SST-2 (a rehearsal has the sample)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json and gpu.md")
    parser.add_argument(
        "--minutes", type=float, default=20.0, help="kept whatever happens (default: 20)"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="every stage on the CPU with tiny sizes"
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="STAGE", help=f"of {', '.join(names)}"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli(
        "prove_gpu.py",
        lambda: run(parse_args(argv)),
        stopped="stopped; what was found is in --out",
        closed_pipe=None,
    )


def run(args: argparse.Namespace) -> int:
    return prove(ROOT, args.data, args.out, args.minutes, args.rehearse, args.only)


if __name__ == "__main__":
    sys.exit(main())
