#!/usr/bin/env python3
"""Speed side by side, as ratios: pre-training, fine-tuning, tokenising, prediction, start-up.

    python scripts/bench.py pretrain --peer transformers
    python scripts/bench.py pretrain --size base --batch-tokens 1024 --steps 8 --peer saving ddp
    python scripts/bench.py pretrain --corpus data/aclImdb/train/unsup --tokenizer vocab.txt \\
        --peer transformers
    python scripts/bench.py finetune --task sst2 --data data/SST-2 --tokenizer vocab.txt \\
        --peer usual
    python scripts/bench.py tokenize --corpus wiki.train.raw --tokenizer vocab.txt --repeat-text 4
    python scripts/bench.py predict --data data/aclImdb --ckpt runs/imdb-electra/ckpt.pt \\
        --peer transformers
    python scripts/bench.py startup --corpus wiki.train.raw --tokenizer runs/wiki/tokenizer.model

In training, every side is a process of its own, with its own memory and settings. After a warm-up
the sides take turns. Each ratio compares two turns of one round, so that whatever else the machine
does slows both. The table shows medians. Peers are

    transformers   other people's package, in pre-training, fine-tuning and prediction
    tokenizers     other people's package, in tokenising
    usual          the loop that most people write, around this project's model
    saving         this project, saving a checkpoint in each turn
    ddp            this project under torchrun: one rank, with DistributedDataParallel
    plain          this project on a GPU, with --no-cuda-graphs; with graphs it records a shape in
                   the third pass, so give it --warm-up turns that hold three

Nothing else in this project needs those packages.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from electra.benchmark.contender import Contender, Measurement
from electra.benchmark.finetuning import finetuning_contender
from electra.benchmark.prediction import measure_prediction
from electra.benchmark.pretraining import OURS, pretraining_contender
from electra.benchmark.processes import serve_contender
from electra.benchmark.report import report
from electra.benchmark.startup import measure_startup
from electra.benchmark.tokenizing import measure_tokenizing
from electra.benchmark.training import measure_training
from electra.cli import Parser, run_cli
from electra.config import OBJECTIVES, SIZES

PACKAGES = ("transformers", "tokenizers")
COMMANDS: dict[str, Callable[[argparse.Namespace], Measurement]] = {
    "pretrain": measure_training,
    "finetune": measure_training,
    "tokenize": measure_tokenizing,
    "predict": measure_prediction,
    "startup": measure_startup,
}
# What makes a contender of a training, in its own process.
CONTENDERS: dict[str, Callable[[argparse.Namespace, str], Contender]] = {
    "pretrain": pretraining_contender,
    "finetune": finetuning_contender,
}


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code of `run_cli`."""
    return run_cli("bench.py", lambda: run(parse_args(argv)))


def run(args: argparse.Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    check_packages(args.peer)

    if args.only:
        serve_contender(partial(CONTENDERS[args.command], args, args.only))
    else:
        report(args, COMMANDS[args.command](args))


def check_packages(peers: list[str]) -> None:
    """Raise ValueError where a peer's package is not installed."""
    for name in peers:
        if name in PACKAGES and importlib.util.find_spec(name) is None:
            raise ValueError(
                f"--peer {name} needs a package that is not installed: pip install {name}"
            )


# ---------------------------------------------------------------- command line


class Groups(NamedTuple):
    """The groups of flags that every sub-command has."""

    what: Any
    against: Any
    how: Any


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """The flags of a sub-command, with `argv`, the command line itself, among them."""
    assert __doc__ is not None
    first_line, _, rest = __doc__.partition("\n")
    parser = Parser(
        prog="bench.py",
        description=first_line,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    add_pretrain(commands)
    add_finetune(commands)
    add_tokenize(commands)
    add_predict(commands)
    add_startup(commands)

    args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    return args


def add_pretrain(commands: Any) -> None:
    groups = add_command(
        commands, "pretrain", "Optimizer steps of train.py.", ("transformers", *OURS[1:])
    )
    flag = partial(add_flag, groups.what)
    flag("--corpus", None, "text to train on", "dense batches of random ids", nargs="+")
    flag("--tokenizer", None, "with --corpus: a file, a checkpoint or a run folder", "train one")
    flag("--objective", "electra", "electra, or mlm: a BERT", choices=OBJECTIVES)
    flag("--dropout", None, "dropout", "by size, as in train.py", type=float)
    flag("--seq-len", 128, "tokens of an example", type=positive)
    flag("--batch-tokens", 4096, "tokens of a step, padding included", type=positive)
    flag("--steps", 3, "steps of a turn", type=positive)
    flag(
        "--compile",
        None,
        "torch.compile this project's networks",
        "as in train.py, no",
        action=argparse.BooleanOptionalAction,
    )
    add_flag(
        groups.against,
        "--peer-max-len",
        512,
        "with --corpus: where the peer cuts its documents, in tokens",
        type=positive,
    )
    add_training_flags(groups)


def add_finetune(commands: Any) -> None:
    groups = add_command(
        commands,
        "finetune",
        "Epochs of finetune.py, from random weights.",
        ("usual", "transformers"),
    )
    flag = partial(add_flag, groups.what)
    flag("--task", "sst2", "sst2 or imdb", choices=("sst2", "imdb"))
    flag("--data", None, "its folder", "where scripts/download.py puts it")
    flag(
        "--examples", 2000, "drawn from its training set; an epoch of them is a turn", type=positive
    )
    flag("--tokenizer", None, "a file, a checkpoint or a run folder", "train one")
    flag("--max-len", None, "longest example in tokens", "128; imdb: 512", type=positive)
    add_training_flags(groups)


def add_tokenize(commands: Any) -> None:
    groups = add_command(commands, "tokenize", "Text in, token store out.", ("tokenizers",))
    add_text_flags(groups)
    flag = partial(add_flag, groups.what)
    flag("--processes", None, "processes", "one a core; one for less than 4 MB", type=positive)
    flag(
        "--repeat-text",
        1,
        "one more side: the text so many times over; its memory should be no more",
        "1, no such side",
        type=positive,
    )
    flag(
        "--pipeline",
        False,
        "instead: batches out of the store, an epoch a turn",
        "no",
        action="store_true",
    )
    flag("--seq-len", 128, "with --pipeline", type=positive)
    flag("--batch-tokens", 4096, "with --pipeline", type=positive)


def add_predict(commands: Any) -> None:
    groups = add_command(
        commands,
        "predict",
        "scripts/predict.py as a program, from start to end.",
        ("transformers",),
    )
    groups.what.add_argument("--ckpt", type=Path, required=True, help="a classifier of finetune.py")
    flag = partial(add_flag, groups.what)
    flag("--data", "data/aclImdb", "the folder whose test reviews to judge")
    flag("--examples", 1000, "drawn from them", type=positive)
    add_device_flags(groups)


def add_startup(commands: Any) -> None:
    groups = add_command(
        commands,
        "startup",
        "train.py as a program, from its start to the end of its first step, on a text "
        "that a run before it has tokenised.",
        (),
    )
    add_text_flags(groups)
    flag = partial(add_flag, groups.what)
    flag("--size", "small", "shape", choices=tuple(SIZES))
    flag("--batch-tokens", 4096, "tokens of a step", type=positive)
    flag("--cache", "data/cache", "folder of tokenised texts")
    add_device_flags(groups)


def add_command(commands: Any, name: str, text: str, peers: tuple[str, ...]) -> Groups:
    """Add a sub-command, with the flags that all of them have."""
    own = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    own.set_defaults(only=None)
    groups = Groups(
        own.add_argument_group("what to measure"),
        own.add_argument_group("against what"),
        own.add_argument_group("how to measure"),
    )
    add_flag(
        groups.against,
        "--peer",
        (),
        "who takes turns with this project",
        "nobody",
        nargs="+",
        choices=peers,
    )
    flag = partial(add_flag, groups.how)
    flag("--repeats", 5, "timed turns of each side", type=positive)
    flag("--threads", None, "of torch", "its own choice", type=positive)
    flag(
        "--json",
        None,
        "file for all of it: machine, settings, every turn",
        "the table alone",
        type=Path,
    )
    return groups


def add_training_flags(groups: Groups) -> None:
    add_flag(groups.what, "--size", "small", "shape", choices=tuple(SIZES))
    add_flag(groups.what, "--cache", "data/cache", "folder of tokenised texts")
    add_device_flags(groups)
    add_flag(
        groups.against, "--peer-attention", "eager", "of transformers", choices=("eager", "sdpa")
    )
    add_flag(groups.how, "--warm-up", 1, "turns before the clock", type=positive)
    # For bench.py itself: the process in which one side trains.
    groups.how.add_argument("--only", help=argparse.SUPPRESS)


def add_text_flags(groups: Groups) -> None:
    add = groups.what.add_argument
    add("--corpus", nargs="+", required=True, help="files, folders or globs")
    add(
        "--tokenizer",
        required=True,
        help="SentencePiece model, vocab.txt, checkpoint or run folder",
    )


def add_device_flags(groups: Groups) -> None:
    add_flag(groups.what, "--device", "auto", "auto, cpu, cuda, cuda:1, mps")
    add_flag(
        groups.what,
        "--amp",
        "auto",
        "mixed precision; auto: bf16 where the device has it",
        choices=("auto", "bf16", "off"),
    )


def add_flag(
    group: Any, name: str, default: Any, text: str, shown: str | None = None, **more: Any
) -> None:
    """Add a flag whose help states its default, as `shown` where that says more."""
    group.add_argument(name, default=default, help=f"{text} (default: {shown or default})", **more)


def positive(text: str) -> int:
    """A whole number above 0. Raises ArgumentTypeError for anything else."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
