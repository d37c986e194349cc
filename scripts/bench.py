#!/usr/bin/env python3
"""Speed, side by side in one run, as ratios: pre-training, fine-tuning, tokenising, prediction and start-up.

    python scripts/bench.py pretrain --peer transformers
    python scripts/bench.py pretrain --size base --batch-tokens 1024 --steps 8 --peer saving ddp
    python scripts/bench.py pretrain --corpus data/aclImdb/train/unsup --tokenizer vocab.txt --peer transformers
    python scripts/bench.py finetune --task sst2 --data data/SST-2 --tokenizer vocab.txt --peer usual
    python scripts/bench.py tokenize --corpus wiki.train.raw --tokenizer vocab.txt --repeat-text 4
    python scripts/bench.py predict --data data/aclImdb --ckpt runs/imdb-electra/ckpt.pt --peer transformers
    python scripts/bench.py startup --corpus wiki.train.raw --tokenizer runs/wiki/tokenizer.model

Every side is a process of its own, with its own memory and settings. After a warm-up they take turns, and each ratio is
of two turns of one round, so that what else the machine does meets both; the table shows medians. Peers are other
people's packages, the loop that everybody writes, or this project doing something on top (`saving` a checkpoint in
each turn; `ddp`: under torchrun, one rank, with gradients through DistributedDataParallel; `graphs`: on a GPU, with
train.py's --cuda-graphs, whose recording in the third pass of a shape the warm-up should hold). Nothing else in this
project needs those packages.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import itertools
import json
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(
    0, str(ROOT)
)  # train.py and finetune.py, whose functions are measured, are in no package

import finetune  # noqa: E402
from electra import files
from electra.benchmark.baseline import (  # noqa: E402
    DOCUMENTS_PER_BATCH,
    ROWS_PER_BATCH,
    baseline_device,
    baseline_documents,
    baseline_step,
    transformers_classifier,
    transformers_pretraining,
)
from electra.benchmark.contender import Contender, Trial, Workload, take_turns
from electra.benchmark.limits import matmul_limit, peak_memory, synchronize
from electra.benchmark.steps import dense_batches, go_through, our_step
from electra.checkpoint import run_folder
from electra.checkpoint.checkpoint import TrainingState, make_checkpoint
from electra.checkpoint.storage import load_checkpoint
from electra.cli import Parser  # noqa: E402
from electra.config import (  # noqa: E402
    OBJECTIVES,
    SIZES,
    SPECIAL_TOKENS,
    FinetuneConfig,
    PretrainConfig,
    SpecialIds,
    parse_phases,
    preset_model_config,
)
from electra.data import raw_text, token_cache, token_store
from electra.data.examples import encode_examples  # noqa: E402
from electra.data.spans import SpanBatches  # noqa: E402
from electra.data.tokenizer import load_tokenizer  # noqa: E402
from electra.data.wordpiece import WordPieceTokenizer
from electra.model.build import build  # noqa: E402
from electra.model.classifier import Classifier  # noqa: E402
from electra.model.flops import encoder_flops, pretraining_flops
from electra.tasks.load import load_task
from electra.tasks.task import with_fewer
from electra.training import distributed, pretraining
from electra.training.device import Precision, choose_device, choose_precision  # noqa: E402
from electra.training.optimizer import Adam, parameter_groups  # noqa: E402
from electra.training.passes import choose_graphs  # noqa: E402

PACKAGES = ("transformers", "tokenizers")
OURS = ("ours", "saving", "ddp", "graphs")
SAVED_EVERY = 300  # seconds, for what a save costs of the time
COLUMNS = (  # of the table: the figure that must be there, its title, how it is shown
    ("who", "", "{who}"),
    ("median_seconds", "seconds", "{median_seconds:.2f}"),
    ("megabytes_per_s", "MB/s", "{megabytes_per_s:,.2f}"),
    ("examples_per_s", "examples/s", "{examples_per_s:,.1f}"),
    ("tokens_per_s", "tokens/s", "{tokens_per_s:,.0f}"),
    ("padding", "padding", "{padding:.1%}"),
    ("peak_memory_mb", "peak MB", "{peak_memory_mb:,.0f}"),
    ("limit_share", "of the limit", "{limit_share:.1%}"),
    ("ratio", "ratio", "{ratio:.2f} ({ratio_min:.2f} to {ratio_max:.2f})"),
)
# The whole of what a user of that library would write.
PIPELINE = """
import json, sys
from transformers import pipeline
folder, source, device, max_len, rows = sys.argv[1:]
texts = [json.loads(line)["text"] for line in open(source, encoding="utf-8")]
classify = pipeline("text-classification", model=folder, device=device)
for answer in classify(texts, batch_size=int(rows), truncation=True, max_length=int(max_len)):
    print(json.dumps(answer))
"""


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    args = parse_args(argv)
    try:
        if args.threads:
            torch.set_num_threads(args.threads)
        for name in args.peer:
            if name in PACKAGES and importlib.util.find_spec(name) is None:
                raise ValueError(
                    f"--peer {name} needs a package that is not installed: pip install {name}"
                )
        COMMANDS[args.command](args)
    except (ValueError, OSError) as problem:
        print(f"bench.py: error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="bench.py",
        description=__doc__.split("\n")[0],
        epilog="\n".join(__doc__.split("\n")[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))

    def flag(
        group: Any, name: str, default: Any, text: str, shown: str | None = None, **more: Any
    ) -> None:
        group.add_argument(
            name, default=default, help=f"{text} (default: {shown or default})", **more
        )

    def command(name: str, text: str, peers: tuple[str, ...]) -> tuple[Any, Any, Any]:
        """The groups of flags of a sub-command, with those that all of them have."""
        own = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        groups = tuple(
            own.add_argument_group(title)
            for title in ("what to measure", "against what", "how to measure")
        )
        flag(
            groups[1],
            "--peer",
            (),
            "who takes turns with this project",
            "nobody",
            nargs="+",
            choices=peers,
        )
        flag(groups[2], "--repeats", 5, "timed turns of each side", type=positive)
        flag(groups[2], "--threads", None, "of torch", "its own choice", type=positive)
        flag(
            groups[2],
            "--json",
            None,
            "file for all of it: machine, settings, every turn",
            "the table alone",
            type=Path,
        )
        return groups

    def on_device(group: Any) -> None:
        flag(group, "--device", "auto", "auto, cpu, cuda, cuda:1, mps")
        flag(
            group,
            "--amp",
            "auto",
            "mixed precision; auto: bf16 where the device has it",
            choices=("auto", "bf16", "off"),
        )

    def training(what: Any, against: Any, how: Any) -> None:
        flag(what, "--size", "small", "shape", choices=tuple(SIZES))
        flag(what, "--cache", "data/cache", "folder of tokenised texts")
        on_device(what)
        flag(against, "--peer-attention", "eager", "of transformers", choices=("eager", "sdpa"))
        flag(how, "--warm-up", 1, "turns before the clock", type=positive)
        how.add_argument(
            "--only", help=argparse.SUPPRESS
        )  # what bench.py starts the process of a side with

    what, against, how = command(
        "pretrain", "Optimizer steps of train.py.", ("transformers", *OURS[1:])
    )
    flag(what, "--corpus", None, "text to train on", "dense batches of random ids", nargs="+")
    flag(what, "--tokenizer", None, "with --corpus: SentencePiece model or vocab.txt", "train one")
    flag(what, "--objective", "electra", "electra, or mlm: a BERT", choices=OBJECTIVES)
    flag(what, "--dropout", None, "dropout", "by size, as in train.py", type=float)
    flag(what, "--seq-len", 128, "tokens of an example", type=positive)
    flag(what, "--batch-tokens", 4096, "tokens of a step, padding included", type=positive)
    flag(what, "--steps", 3, "steps of a turn", type=positive)
    flag(
        what,
        "--compile",
        None,
        "torch.compile this project's networks",
        "as in train.py, on GPUs",
        action=argparse.BooleanOptionalAction,
    )
    flag(
        against,
        "--peer-max-len",
        512,
        "with --corpus: where the peer cuts its documents, in tokens",
        type=positive,
    )
    training(what, against, how)

    what, against, how = command(
        "finetune", "Epochs of finetune.py, from random weights.", ("usual", "transformers")
    )
    flag(what, "--task", "sst2", "sst2 or imdb", choices=("sst2", "imdb"))
    flag(what, "--data", None, "its folder", "where scripts/download.py puts it")
    flag(
        what,
        "--examples",
        2000,
        "drawn from its training set; an epoch of them is a turn",
        type=positive,
    )
    flag(what, "--tokenizer", None, "a file, or a checkpoint", "train one")
    flag(what, "--max-len", None, "longest example in tokens", "128; imdb: 512", type=positive)
    training(what, against, how)

    what, against, how = command("tokenize", "Text in, token store out.", ("tokenizers",))
    what.add_argument("--corpus", nargs="+", required=True, help="files, folders or globs")
    what.add_argument("--tokenizer", required=True, help="SentencePiece model or vocab.txt")
    flag(
        what, "--processes", None, "processes", "one a core; one for less than 4 MB", type=positive
    )
    flag(
        what,
        "--repeat-text",
        1,
        "one more side: the text so many times over; its memory should be no more",
        "1, no such side",
        type=positive,
    )
    flag(
        what,
        "--pipeline",
        False,
        "instead: batches out of the store, an epoch a turn",
        "no",
        action="store_true",
    )
    flag(what, "--seq-len", 128, "with --pipeline", type=positive)
    flag(what, "--batch-tokens", 4096, "with --pipeline", type=positive)

    what, against, how = command(
        "predict", "scripts/predict.py as a program, from start to end.", ("transformers",)
    )
    what.add_argument("--ckpt", type=Path, required=True, help="a classifier of finetune.py")
    flag(what, "--data", "data/aclImdb", "the folder whose test reviews to judge")
    flag(what, "--examples", 1000, "drawn from them", type=positive)
    on_device(what)

    what, against, how = command(
        "startup",
        "train.py as a program, from its start to the end of its first step, on a text "
        "that a run before it has tokenised.",
        (),
    )
    what.add_argument("--corpus", nargs="+", required=True, help="files, folders or globs")
    what.add_argument("--tokenizer", required=True, help="SentencePiece model or vocab.txt")
    flag(what, "--size", "small", "shape", choices=tuple(SIZES))
    flag(what, "--batch-tokens", 4096, "tokens of a step", type=positive)
    flag(what, "--cache", "data/cache", "folder of tokenised texts")
    on_device(what)

    args = parser.parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    return args


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


# ---------------------------------------------------------------- training: what is measured


def pretraining_side(args: argparse.Namespace, who: str) -> Contender:
    """Steps of train.py, or of the usual loop around `transformers`."""
    ours = who in OURS
    device = choose_device(args.device) if ours else baseline_device(args.device)
    precision = choose_precision(args.amp, device)
    config = PretrainConfig(
        corpus=tuple(args.corpus or ()),
        tokenizer=args.tokenizer,
        size=args.size,
        objective=args.objective,
        dropout=args.dropout,
        cache=args.cache,
    )
    if args.dropout is not None and not 0 <= args.dropout < 1:
        raise ValueError(f"--dropout must be from 0 to below 1, not {args.dropout}")
    if args.batch_tokens < args.seq_len:
        raise ValueError(
            f"--batch-tokens {args.batch_tokens} does not hold one example of {args.seq_len} tokens"
        )
    if args.corpus:
        tokenizer, shape = pretraining.choose_model(config, set(), None)
        text, _ = pretraining.split(
            token_store.open_store(config.corpus, tokenizer, config.errors, args.cache),
            config,
            tokenizer,
        )
        stream = pretraining.make_stream(text, args.batch_tokens, device, config.seed, shape.special)
        batches = (
            iter(lambda: stream.next(args.seq_len), None)
            if ours
            else baseline_documents(
                text, shape.special, min(args.peer_max_len, shape.max_positions)
            )
        )
    else:
        if args.tokenizer:
            raise ValueError("--tokenizer is for --corpus; without it the ids are random")
        shape = preset_model_config(
            args.size, args.objective, SIZES[args.size].vocab_size, args.dropout
        )
        batches = itertools.cycle(
            dense_batches(
                args.steps, args.batch_tokens // args.seq_len, args.seq_len, shape.vocab_size
            )
        )
    parse_phases(
        args.seq_len, None, shape.max_positions
    )  # raises ValueError for a length that the model has not
    mask_prob = SIZES[args.size].mask_prob
    note = f"{args.objective} {args.size}, amp {precision.name}, "
    if ours or not args.corpus:
        note += f"{args.batch_tokens} tokens a step at length {args.seq_len}"
    else:
        note += f"{DOCUMENTS_PER_BATCH} documents a step, cut at {args.peer_max_len} tokens and padded to the longest"
    if ours:
        model = build(shape, mask_prob).to(device)
        if pretraining.is_compiled(args.compile, device):
            model.compile_networks()
            note += ", compiled"
        if who == "ddp":
            distributed.start(device, config.rank_timeout)
            model = distributed.data_parallel(model)
            note += ", one rank"
        optimizer = Adam(parameter_groups(model, pretraining.WEIGHT_DECAY))
        graphs = choose_graphs(who == "graphs", device)
        if graphs is not None:
            note += ", CUDA graphs"
        step = our_step(model, optimizer, precision, device, graphs)
    else:
        model, loss_of = transformers_pretraining(shape, mask_prob, precision, args.peer_attention)
        step = baseline_step(model, loss_of, device, pretraining.WEIGHT_DECAY)
        note += (
            f", {args.peer_attention} attention, AdamW, logits at all positions, Gumbel sampling"
        )
    flops = lambda lengths: pretraining_flops(shape, mask_prob, lengths)
    turn = lambda: go_through(itertools.islice(batches, args.steps), step, device, flops)
    if who == "saving":
        note += ", and a checkpoint that is written meanwhile"
        turn = while_saving(turn, model, optimizer)
    return Contender(who, note, turn, name_of(precision), device)


def while_saving(
    turn: Callable[[], Workload], model: nn.Module, optimizer: Adam
) -> Callable[[], Workload]:
    """A turn that begins with saving a checkpoint, as train.py does it, and ends when it is on the disk too."""
    tokenizer = WordPieceTokenizer(SPECIAL_TOKENS)  # its few bytes beside the weights do not count
    place = tempfile.TemporaryDirectory()
    folder = run_folder.RunFolder(place.name)

    def both(
        place: tempfile.TemporaryDirectory = place,
    ) -> Workload:  # which so is there as long as the side is
        training = TrainingState(optimizer=optimizer.state_dict())
        folder.save(make_checkpoint(model, tokenizer, PretrainConfig(), training), 0, keep=1)
        work = turn()
        if problem := folder.wait_for_save():
            raise ValueError(f"the checkpoint was not saved: {problem}")
        return work

    return both


def finetuning_side(args: argparse.Namespace, who: str) -> Contender:
    """Epochs of finetune.py, or of the usual loop around the same model or that of `transformers`."""
    device = choose_device(args.device) if who == "ours" else baseline_device(args.device)
    precision = choose_precision(args.amp if who == "ours" else "off", device)
    config = FinetuneConfig(
        task=args.task,
        data=args.data,
        size=args.size,
        tokenizer=args.tokenizer,
        max_len=args.max_len,
        cache=args.cache,
    )
    data = finetune.read_task(config)
    data = with_fewer(data, min(args.examples, len(data.train)))
    config = finetune.fill_in(config, data, None)
    tokenizer, shape = finetune.choose_model(config, data, None)
    encoded = finetune.encode_task(
        token_cache.CachedTokenizer(tokenizer, args.cache), data.train, config, 1.0
    )
    note = f"{args.task} {args.size}, {len(data.train)} examples, amp {precision.name}, "
    if who == "transformers":
        model, loss_of = transformers_classifier(shape, len(data.labels), args.peer_attention)
    else:
        model = Classifier(shape, len(data.labels)).to(device)
        loss_of = lambda batch: F.cross_entropy(model.logits(batch), batch.labels)
    if who == "ours":
        note += f"steps of at most {finetune.ROWS} examples and {config.batch_tokens} tokens of like length"
        groups = parameter_groups(model, config.weight_decay, config.layer_decay, shape.num_layers)
        step = our_step(model, Adam(groups), precision, device)
        epochs = (
            finetune.epoch_plan(encoded, config, config.seeds[0], epoch)
            for epoch in itertools.count()
        )
        multiple = finetune.MULTIPLE
    else:
        note += f"steps of {ROWS_PER_BATCH} examples in random order, padded to the longest, AdamW"
        step = baseline_step(model, loss_of, device, config.weight_decay)
        rng, multiple = np.random.default_rng(0), 1
        epochs = (
            np.split(
                rng.permutation(len(data.train)),
                range(ROWS_PER_BATCH, len(data.train), ROWS_PER_BATCH),
            )
            for _ in itertools.count()
        )
    batches = lambda: (encoded.batch(rows, multiple, config.max_len) for rows in next(epochs))
    turn = lambda: go_through(
        batches(), step, device, lambda lengths: 3 * encoder_flops(shape, lengths)
    )
    return Contender(who, note, turn, name_of(precision), device)


def name_of(precision: Precision) -> str:
    """Of the type that matrix products are computed in."""
    return str(precision.dtype or torch.float32).removeprefix("torch.")


# ---------------------------------------------------------------- training: steps


# ---------------------------------------------------------------- training: limit and memory


def bench_training(args: argparse.Namespace) -> None:
    """Start a process for every side, warm up, take turns, report."""
    make = {"pretrain": pretraining_side, "finetune": finetuning_side}[args.command]
    if args.only:
        return serve(args, make)
    with contextlib.ExitStack() as stack:
        sides = [start(stack, args.argv, who) for who in dict.fromkeys(("ours", *args.peer))]
        for side in sides:
            for _ in range(args.warm_up):
                side.run()
        device = choose_device(args.device)
        limits = {side.dtype: matmul_limit(getattr(torch, side.dtype), device) for side in sides}
        turns = take_turns(sides, args.repeats)
        limits = {
            dtype: max(limit, matmul_limit(getattr(torch, dtype), device))
            for dtype, limit in limits.items()
        }
    memory = {side.name: turns[side.name][-1].workload.memory for side in sides}
    report(
        args, sides, turns, "tokens" if args.command == "pretrain" else "examples", memory, limits
    )


def start(stack: contextlib.ExitStack, argv: list[str], who: str) -> Contender:
    """A process in which `who` trains: a turn for each line that it is sent. It ends with the stack."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "1"] * (who == "ddp")
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, *launcher, __file__, *argv, "--only", who],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
    )

    def answer() -> Any:
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        if process.wait() == 2:
            raise SystemExit(2)  # it has said why
        raise ValueError(
            f"the process in which {who} trains has ended with code {process.returncode}"
        )

    def turn() -> Workload:
        print(file=process.stdin, flush=True)
        return Workload(*answer())

    note, dtype = answer()
    return Contender(who, note, turn, dtype)


def serve(args: argparse.Namespace, make: Callable[[argparse.Namespace, str], Contender]) -> None:
    """What a process that `start` has started does."""
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):  # "training a tokenizer"
        side = make(args, args.only)
    print(json.dumps([side.note, side.dtype]), flush=True)
    for _ in sys.stdin:
        work = side.run()
        synchronize(side.device)
        print(json.dumps(work._replace(memory=peak_memory(side.device))), flush=True)


# ---------------------------------------------------------------- tokenising


def bench_tokenizing(args: argparse.Namespace) -> None:
    patterns, tokenizer = tuple(args.corpus), load_tokenizer(args.tokenizer)
    if args.peer and not args.tokenizer.endswith(".txt"):
        raise ValueError("--peer tokenizers reads a vocab.txt; give one as --tokenizer")
    if args.pipeline and (args.peer or args.repeat_text > 1):
        raise ValueError("--pipeline is measured alone: leave out --peer and --repeat-text")
    with tempfile.TemporaryDirectory() as folder:
        if args.pipeline:
            text = token_store.whole(
                token_store.open_store(patterns, tokenizer, "strict", folder, args.processes)
            )
            sides = [
                Contender(
                    "batches",
                    f"an epoch in one process, laying it out included, {args.batch_tokens} tokens a "
                    f"batch at length {args.seq_len}",
                    epochs_of_batches(text, args, tokenizer.special),
                )
            ]
        else:
            sides = [
                Contender(
                    "ours",
                    f"{args.processes or 'the usual number of'} processes; their memory is that of all "
                    f"together, each with torch loaded",
                    lambda: write_store(patterns, args),
                )
            ]
        if args.repeat_text > 1:
            longer = repeated(patterns, args.repeat_text, Path(folder))
            sides.append(
                Contender(
                    f"ours, text x {args.repeat_text}",
                    "the same text over and over",
                    lambda: write_store((str(longer),), args),
                )
            )
        if args.peer:
            sides.append(
                Contender(
                    "tokenizers",
                    "BertWordPieceTokenizer, with threads of its own",
                    lambda: write_rust_tokens(patterns, args.tokenizer),
                )
            )
        memory = {side.name: tree_peak(side.run) for side in sides}  # and so they have warmed up
        turns = take_turns(sides, args.repeats)
    report(args, sides, turns, "tokens" if args.pipeline else "megabytes", memory, {})


def write_store(patterns: tuple[str, ...], args: argparse.Namespace) -> Workload:
    """A token store, made anew by a tokenizer that has met no word yet."""
    with tempfile.TemporaryDirectory() as cache:
        store = token_store.open_store(
            patterns, load_tokenizer(args.tokenizer), "strict", cache, args.processes
        )
        return Workload(tokens=len(store.tokens), megabytes=megabytes(patterns))


def megabytes(patterns: tuple[str, ...]) -> float:
    return sum(source.size for source in raw_text.find_sources(patterns)) / 1e6


def lines_of(patterns: tuple[str, ...]) -> Iterator[raw_text.Line]:
    return itertools.chain.from_iterable(map(raw_text.read_lines, raw_text.find_sources(patterns)))


def repeated(patterns: tuple[str, ...], times: int, folder: Path) -> Path:
    """One file with the text `times` over, an empty line before each document."""
    path = folder / "repeated.txt"
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(times):
            file.writelines("\n" * line.opens + f"{line.text}\n" for line in lines_of(patterns))
    return path


def write_rust_tokens(patterns: tuple[str, ...], vocabulary: str) -> Workload:
    """The same lines through the BERT tokenizer of `tokenizers`, onto the disk."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer, count, lines = BertWordPieceTokenizer(vocabulary), 0, lines_of(patterns)
    dtype = token_cache.token_dtype(tokenizer.get_vocab_size())
    with tempfile.TemporaryFile() as file:
        while chunk := [line.text for line in itertools.islice(lines, 1000)]:
            encoded = tokenizer.encode_batch(chunk, add_special_tokens=False)
            tokens = np.fromiter(itertools.chain.from_iterable(one.ids for one in encoded), dtype)
            file.write(tokens.tobytes())
            count += len(tokens)
    return Workload(tokens=count, megabytes=megabytes(patterns))


def epochs_of_batches(
    text: token_store.Text, args: argparse.Namespace, special: SpecialIds
) -> Callable[[], Workload]:
    """What lays out an epoch of pre-training and takes all of its batches."""
    device = torch.device("cpu")
    begin = lambda: SpanBatches(*text, args.batch_tokens, pretraining.width_multiple(device), 0, special)
    count = len(begin().lay_out(args.seq_len, 0)[1])

    def turn() -> Workload:
        stream = begin()
        batches = (stream.next(args.seq_len) for _ in range(count))
        return go_through(batches, lambda batch: None, device, lambda lengths: 0.0)

    return turn


# ---------------------------------------------------------------- prediction


def bench_prediction(args: argparse.Namespace) -> None:
    checkpoint = load_checkpoint(args.ckpt, ("classifier",))
    max_len, reviews = checkpoint.settings["max_len"], load_task("imdb", args.data).test
    texts = [
        reviews[i].text_a
        for i in np.random.default_rng(0).permutation(len(reviews))[: args.examples]
    ]
    encoded = encode_examples(
        checkpoint.tokenizer, texts, [None] * len(texts), [0] * len(texts), max_len, "head"
    )
    work = Workload(len(texts), int(encoded.lengths.sum()))
    with tempfile.TemporaryDirectory() as folder:
        source, exported = f"{folder}/reviews.jsonl", f"{folder}/exported"
        Path(source).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

        def turn(*program: Any) -> Workload:
            answers = run_program(program, args.threads).count(
                "\n"
            )  # a review may hold other ends of lines
            assert answers == len(texts), f"{answers} answers to {len(texts)} texts"
            return work

        sides = [
            Contender(
                "ours",
                f"{len(texts)} reviews, cut at {max_len} tokens, amp {args.amp}; the whole program, from "
                f"its start",
                lambda: turn(
                    f"{ROOT}/scripts/predict.py",
                    "--ckpt",
                    args.ckpt,
                    "--file",
                    source,
                    "--device",
                    args.device,
                    "--amp",
                    args.amp,
                ),
            )
        ]
        if args.peer:
            run_program((f"{ROOT}/scripts/convert.py", "export", args.ckpt, exported))
            sides.append(
                Contender(
                    "transformers",
                    f"the whole program of a text-classification pipeline, batches of "
                    f"{ROWS_PER_BATCH}, float32 as is its default, on the exported encoder; our head has another "
                    f"shape, so its own has random weights, which take the same time",
                    lambda: turn(
                        "-c",
                        PIPELINE,
                        exported,
                        source,
                        baseline_device(args.device),
                        max_len,
                        ROWS_PER_BATCH,
                    ),
                )
            )
        memory = {side.name: tree_peak(side.run, itself=False) for side in sides}
        turns = take_turns(sides, args.repeats)
    report(args, sides, turns, "examples", memory, {})


# ---------------------------------------------------------------- start-up


def bench_startup(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = itertools.count()

        def turn() -> Workload:
            out = Path(folder) / f"run-{next(runs)}"
            begin_training(args, out)
            return Workload()

        turn()  # tokenises
        sides = [
            Contender(
                "ours",
                f"{args.size}, {args.batch_tokens} tokens a step, {megabytes(tuple(args.corpus)):,.0f} MB "
                f"of text, tokenised before",
                turn,
            )
        ]
        turns = take_turns(sides, args.repeats)
    report(args, sides, turns, "", {"ours": None}, {})


def begin_training(args: argparse.Namespace, out: Path) -> None:
    """Start train.py, and end it when its first step is in the log. Raises ValueError where it ends by itself before."""
    log = out / "metrics.jsonl"
    command = [
        sys.executable,
        f"{ROOT}/train.py",
        "--corpus",
        *args.corpus,
        "--tokenizer",
        args.tokenizer,
        "--size",
        args.size,
        "--batch-tokens",
        str(args.batch_tokens),
        "--cache",
        args.cache,
        "--out",
        str(out),
        "--device",
        args.device,
        "--amp",
        args.amp,
        "--steps",
        "1000",
        "--log-every",
        "1",
    ]
    if args.threads:
        command = ["env", f"OMP_NUM_THREADS={args.threads}", *command]
    with subprocess.Popen(
        command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            while not (log.exists() and log.stat().st_size):
                if process.poll() is not None:
                    raise ValueError(
                        f"train.py has ended before its first step: "
                        f"{(process.stderr.read().strip().splitlines() or ['?'])[-1]}"
                    )
                time.sleep(0.005)
        finally:
            process.kill()


def run_program(arguments: tuple[Any, ...], threads: int | None = None) -> str:
    """What a Python program writes to its standard output. Raises ValueError with its last words where it fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
        **({"OMP_NUM_THREADS": str(threads)} if threads else {}),
    }
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(
            f"a program that was to be measured failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return done.stdout


# ---------------------------------------------------------------- measuring


def tree_peak(turn: Callable[[], Workload], itself: bool = True) -> int | None:
    """The most bytes that this process (unless not `itself`) and all below it hold during a turn, looked at every 50
    ms; None off Linux. Looking takes time, so such a turn is not one of those that count."""
    peak, over = 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while True:
            peak = max(peak, tree_memory(os.getpid(), itself))
            if over.wait(0.05):
                return

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        turn()
    finally:
        over.set()
        watcher.join()
    return peak or None


def tree_memory(root: int, itself: bool) -> int:
    """Bytes in the process `root` (unless not `itself`) and all below it now: the proportional set size of Linux, in
    which a page that several share counts once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(
                int(path.parent.name)
            )
    tree, total = [root], 0
    for process in tree:
        tree += children.get(process, [])
    own = Path(f"/proc/{root}/cmdline").read_bytes()
    for process in tree if itself else tree[1:]:
        with contextlib.suppress(OSError):
            if process != root and Path(f"/proc/{process}/cmdline").read_bytes() == own:
                continue  # just starting: until it has its own program, its memory is its parent's
            found = re.search(
                r"^Pss:\s*(\d+)", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE
            )
            total += (
                int(found[1]) * 1024 if found else 0
            )  # not found: it is just starting or ending
    return total


# ---------------------------------------------------------------- the report


def rates(turns: list[Trial], unit: str) -> list[float]:
    """Of each turn: its `unit` (a field of Workload) a second."""
    return [getattr(turn.workload, unit) / turn.seconds for turn in turns]


def ratios(ours: list[Trial], theirs: list[Trial], unit: str) -> list[float]:
    """How many times as fast ours is, in each round."""
    return [
        mine / other for mine, other in zip(rates(ours, unit), rates(theirs, unit), strict=True)
    ]


def summary(
    who: str,
    ours: list[Trial],
    turns: list[Trial],
    unit: str,
    memory: int | None,
    limit: float | None,
) -> dict[str, Any]:
    """A side's figures: medians over its `turns`; ratios are of the first side, `ours`, to this one."""
    result: dict[str, Any] = {
        "who": who,
        "seconds": [turn.seconds for turn in turns],
        "work": [turn.workload.to_json() for turn in turns],
    }
    for name in ("examples", "tokens", "megabytes"):
        if getattr(turns[0].workload, name):
            result[f"{name}_per_s"] = statistics.median(rates(turns, name))
    if turns[0].workload == Workload():  # all that counts is the time
        result["median_seconds"] = statistics.median(turn.seconds for turn in turns)
    if places := sum(turn.workload.padded_tokens for turn in turns):
        result["padding"] = 1 - sum(turn.workload.tokens for turn in turns) / places
    if memory:
        result["peak_memory_mb"] = memory / 1e6
    if limit:
        result["limit_share"] = statistics.median(rates(turns, "flops")) / limit
    if turns is not ours:
        paired = ratios(ours, turns, unit)
        result |= {
            "ratio": statistics.median(paired),
            "ratio_min": min(paired),
            "ratio_max": max(paired),
            "ratios": paired,
            "ratio_of": f"{unit}_per_s",
        }
    return result


def report(
    args: argparse.Namespace,
    sides: list[Contender],
    turns: dict[str, list[Trial]],
    unit: str,
    memory: dict[str, int | None],
    limits: dict[str | None, float],
) -> None:
    """Print the table, with what is behind it, and write --json."""
    found = [
        summary(
            side.name,
            turns[sides[0].name],
            turns[side.name],
            unit,
            memory[side.name],
            limits.get(side.dtype),
        )
        for side in sides
    ]
    notes = [f"{side.name}: {side.note}" for side in sides]
    notes += [
        f"limit: {limit / 1e9:,.0f} GFLOP/s in {dtype}, the fastest of some large matrix products"
        for dtype, limit in limits.items()
    ]
    if "saving" in turns:
        costs = [
            saving.seconds - alone.seconds
            for saving, alone in zip(turns["saving"], turns["ours"], strict=True)
        ]
        notes.append(
            f"a save costs {statistics.median(costs):.2f} s ({min(costs):.2f} to {max(costs):.2f}), which is "
            f"{statistics.median(costs) / SAVED_EVERY:.2%} of the time at one in {SAVED_EVERY // 60} minutes"
        )
    notes.append(
        f"medians of {args.repeats} turns"
        + f"; ratio: {unit}/s of {sides[0].name} to those of the line, with the least and the most of a round"
        * (len(sides) > 1)
    )
    notes.append(", ".join(f"{name} {value}" for name, value in machine().items() if value))
    print("\n".join([table(found), *notes]))
    if args.json:
        settings = {
            name: value
            for name, value in vars(args).items()
            if name not in ("argv", "json", "only")
        }
        content = {
            "command": "python scripts/bench.py " + shlex.join(args.argv),
            "date": time.strftime("%Y-%m-%d %H:%M"),
            "machine": machine(),
            "settings": settings,
            "notes": notes,
            "limits": limits,
            "sides": found,
        }
        files.write_atomically(
            args.json, (json.dumps(content, indent=1, default=str) + "\n").encode()
        )


def table(found: list[dict[str, Any]]) -> str:
    """The figures in columns; a column that says nothing is left out."""
    columns = [
        (name, title, shown)
        for name, title, shown in COLUMNS
        if any(name in values for values in found)
    ]
    rows = [[title for _, title, _ in columns]]
    rows += [
        [shown.format_map(values) if name in values else "" for name, _, shown in columns]
        for values in found
    ]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = (
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )
    return "\n".join(map(str.rstrip, lines))


def machine() -> dict[str, Any]:
    """What the figures belong to."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": name[1].strip() if name else platform.machine(),
        "cores": cores,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


COMMANDS = {
    "pretrain": bench_training,
    "finetune": bench_training,
    "tokenize": bench_tokenizing,
    "predict": bench_prediction,
    "startup": bench_startup,
}


if __name__ == "__main__":
    sys.exit(main())
