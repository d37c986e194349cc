#!/usr/bin/env python3
"""Import released checkpoints, export trained ones as others read them, or make them small.

python scripts/convert.py import data/electra-small/discriminator data/electra-small/generator \\
    --out electra.pt
python scripts/convert.py import data/bert-base --out bert.pt
python scripts/convert.py export runs/imdb-electra/ckpt.pt exported/
python scripts/convert.py export runs/sst2-electra/ckpt.pt exported/ --onnx
python scripts/convert.py shrink runs/imdb-electra/ckpt.pt --out small.pt
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from electra.checkpoint.shrinking import shrink_checkpoint
from electra.cli import Parser, run_cli
from electra.config import POOLINGS
from electra.files import one_line
from electra.huggingface.exporting import export_checkpoint
from electra.huggingface.importing import import_checkpoint
from electra.huggingface.merging import NetworkSize

Subparsers: TypeAlias = "argparse._SubParsersAction[Parser]"


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("convert.py", lambda: run(parse_args(argv)), closed_pipe=None)


def run(args: argparse.Namespace) -> None:
    if args.command == "import":
        notes = import_checkpoint(
            args.folders, args.out, args.objective, args.partner, args.encoder_only
        )
    elif args.command == "shrink":
        notes = shrink_checkpoint(args.checkpoint, args.out)
    else:
        notes = export_checkpoint(args.checkpoint, args.folder, args.onnx, args.vectors)
    print("\n".join(map(one_line, notes)))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    assert __doc__ is not None
    description, _, epilog = __doc__.partition("\n")
    parser = Parser(
        prog="convert.py",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="import|export|shrink")
    _add_import(commands)
    _add_export(commands)
    _add_shrink(commands)
    return parser.parse_args(argv)


def _add_import(commands: Subparsers) -> None:
    reader = commands.add_parser(
        "import",
        help="downloaded folders (a discriminator's and a generator's, or one alone) -> one "
        "checkpoint for train.py and finetune.py; a fine-tuned one -> one for predict.py",
    )
    reader.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="DIR",
        help="a folder with config.json, weights and tokenizer; two, in any order, for a whole "
        "ELECTRA",
    )
    reader.add_argument("--out", type=Path, required=True, help="the checkpoint to write")
    reader.add_argument(
        "--objective",
        choices=("electra", "mlm"),
        help="mlm: read an ELECTRA generator as a BERT (default: what the folder holds)",
    )
    reader.add_argument(
        "--partner",
        type=parse_partner,
        metavar="HIDDEN:LAYERS:HEADS",
        help="size of the new network beside an ELECTRA's that comes alone (default: the paper's "
        "proportions)",
    )
    reader.add_argument(
        "--encoder-only",
        action="store_true",
        help="of a fine-tuned folder: leave its head out, for train.py and for finetune.py --init",
    )


def _add_export(commands: Subparsers) -> None:
    writer = commands.add_parser("export", help="a checkpoint -> a folder that transformers loads")
    writer.add_argument(
        "checkpoint",
        type=Path,
        metavar="CKPT",
        help="a checkpoint or run folder of train.py or finetune.py",
    )
    writer.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    writer.add_argument(
        "--onnx",
        action="store_true",
        help="write model.onnx too, with free batch and length; needs the extra [onnx]",
    )
    writer.add_argument(
        "--vectors",
        choices=POOLINGS,
        help="write what sentence-transformers reads too: a vector a text, the mean of the tokens "
        "or that of [CLS] (after finetune.py --task pairs always, as in training)",
    )


def _add_shrink(commands: Subparsers) -> None:
    writer = commands.add_parser(
        "shrink", help="a checkpoint -> a small one to pass on, without what --resume needs"
    )
    writer.add_argument(
        "checkpoint",
        type=Path,
        metavar="CKPT",
        help="a checkpoint or run folder of train.py or finetune.py",
    )
    writer.add_argument("--out", type=Path, required=True, help="the checkpoint to write")


def parse_partner(text: str) -> NetworkSize:
    """ "64:12:1" -> NetworkSize(64, 12, 1)."""
    try:
        hidden, layers, heads = (int(part) for part in text.split(":"))
    except ValueError:
        hidden = layers = heads = 0
    if min(hidden, layers, heads) < 1 or hidden % heads:
        raise argparse.ArgumentTypeError(
            f"{text} is not HIDDEN:LAYERS:HEADS with a hidden size that the heads divide"
        )
    return NetworkSize(hidden, layers, heads)


if __name__ == "__main__":
    sys.exit(main())
