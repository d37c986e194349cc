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
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(
    0, str(ROOT)
)  # train.py and finetune.py, whose functions are measured, are in no package

import finetune  # noqa: E402
import train  # noqa: E402
from electra import files
from electra.checkpoint import run_folder, storage
from electra.cli import Parser  # noqa: E402
from electra.config import (  # noqa: E402
    CLS,
    OBJECTIVES,
    SEP,
    SIZES,
    FinetuneConfig,
    ModelConfig,
    PretrainConfig,
    SpecialIds,
    model_config,
    parse_phases,
)
from electra.data import raw_text, token_cache, token_store
from electra.data.batch import Batch, collate  # noqa: E402
from electra.data.examples import encode_examples  # noqa: E402
from electra.data.spans import SpanBatches  # noqa: E402
from electra.data.tokenizer import load_tokenizer  # noqa: E402
from electra.model import masking
from electra.model.build import build  # noqa: E402
from electra.model.classifier import Classifier  # noqa: E402
from electra.model.electra import RTD_WEIGHT  # noqa: E402
from electra.tasks.load import load_task
from electra.tasks.task import with_fewer
from electra.training import distributed
from electra.training.device import Precision, choose_device, choose_precision  # noqa: E402
from electra.training.evaluate import add_up  # noqa: E402
from electra.training.optimizer import CLIP, Adam, parameter_groups  # noqa: E402
from electra.training.passes import CudaGraphs, choose_graphs  # noqa: E402
from electra.training.seeds import derive_seed  # noqa: E402
from electra.training.step import LossScale, train_step  # noqa: E402

PACKAGES = ("transformers", "tokenizers")
OURS = ("ours", "saving", "ddp", "graphs")
SAVED_EVERY = 300  # seconds, for what a save costs of the time
LR = 1e-4  # how well anything learns is not measured
USUAL_DOCUMENTS = 16  # of a batch of the usual pre-training loop
USUAL_ROWS = 32  # of a batch of the usual fine-tuning loop, and of a pipeline
PRODUCTS = {  # m x k times k x n, of which the fastest is the limit: square ones, and those of wide layers
    "cpu": ((1024, 1024, 1024), (4096, 1024, 1024), (4096, 256, 1024)),
    "cuda": ((4096, 4096, 4096), (8192, 8192, 8192), (16384, 1024, 4096)),
}
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


class Work(NamedTuple):
    """What a turn has done."""

    examples: int = 0
    tokens: int = 0  # real ones
    places: int = 0  # tokens, padding included; 0 where that is not known
    megabytes: float = 0.0  # of text, 10⁶ bytes
    flops: float = 0.0  # that the model needs for the real tokens
    memory: int | None = None  # bytes: the most that the side's process has held so far


class Side(NamedTuple):
    """One of those that take turns."""

    who: str
    note: str  # what it does
    turn: Callable[[], Work]
    dtype: str | None = None  # of the matrix products, where their speed is compared with the limit
    device: torch.device = torch.device("cpu")


class Turn(NamedTuple):
    seconds: float
    work: Work


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


def pretraining_side(args: argparse.Namespace, who: str) -> Side:
    """Steps of train.py, or of the usual loop around `transformers`."""
    ours = who in OURS
    device = choose_device(args.device) if ours else usual_device(args.device)
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
        tokenizer, shape = train.choose_model(config, set(), None)
        text, _ = train.split(
            token_store.open_store(config.corpus, tokenizer, config.errors, args.cache),
            config,
            tokenizer,
        )
        stream = train.make_stream(text, args.batch_tokens, device, config.seed, shape.special)
        batches = (
            iter(lambda: stream.next(args.seq_len), None)
            if ours
            else usual_documents(text, shape.special, min(args.peer_max_len, shape.max_positions))
        )
    else:
        if args.tokenizer:
            raise ValueError("--tokenizer is for --corpus; without it the ids are random")
        shape = model_config(args.size, args.objective, SIZES[args.size].vocab_size, args.dropout)
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
        note += f"{USUAL_DOCUMENTS} documents a step, cut at {args.peer_max_len} tokens and padded to the longest"
    if ours:
        model = build(shape, mask_prob).to(device)
        if train.is_compiled(args.compile, device):
            model.compile_networks()
            note += ", compiled"
        if who == "ddp":
            distributed.start(device, config.rank_timeout)
            model = distributed.data_parallel(model)
            note += ", one rank"
        optimizer = Adam(parameter_groups(model, train.WEIGHT_DECAY))
        graphs = choose_graphs(who == "graphs", device)
        if graphs is not None:
            note += ", CUDA graphs"
        step = our_step(model, optimizer, precision, device, graphs)
    else:
        model, loss_of = transformers_pretraining(shape, mask_prob, precision, args.peer_attention)
        step = usual_step(model, loss_of, device, train.WEIGHT_DECAY)
        note += (
            f", {args.peer_attention} attention, AdamW, logits at all positions, Gumbel sampling"
        )
    flops = lambda lengths: pretraining_flops(shape, mask_prob, lengths)
    turn = lambda: go_through(itertools.islice(batches, args.steps), step, device, flops)
    if who == "saving":
        note += ", and a checkpoint that is written meanwhile"
        turn = while_saving(turn, model, optimizer)
    return Side(who, note, turn, name_of(precision), device)


def while_saving(turn: Callable[[], Work], model: nn.Module, optimizer: Adam) -> Callable[[], Work]:
    """A turn that begins with saving a checkpoint, as train.py does it, and ends when it is on the disk too."""
    place = tempfile.TemporaryDirectory()
    folder = run_folder.RunFolder(place.name)

    def both(
        place: tempfile.TemporaryDirectory = place,
    ) -> Work:  # which so is there as long as the side is
        folder.save(
            {"model": model.state_dict(), "training": {"optimizer": optimizer.state_dict()}},
            0,
            keep=1,
        )
        work = turn()
        if problem := folder.wait_for_save():
            raise ValueError(f"the checkpoint was not saved: {problem}")
        return work

    return both


def finetuning_side(args: argparse.Namespace, who: str) -> Side:
    """Epochs of finetune.py, or of the usual loop around the same model or that of `transformers`."""
    device = choose_device(args.device) if who == "ours" else usual_device(args.device)
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
        note += f"steps of {USUAL_ROWS} examples in random order, padded to the longest, AdamW"
        step = usual_step(model, loss_of, device, config.weight_decay)
        rng, multiple = np.random.default_rng(0), 1
        epochs = (
            np.split(
                rng.permutation(len(data.train)), range(USUAL_ROWS, len(data.train), USUAL_ROWS)
            )
            for _ in itertools.count()
        )
    batches = lambda: (encoded.batch(rows, multiple, config.max_len) for rows in next(epochs))
    turn = lambda: go_through(
        batches(), step, device, lambda lengths: 3 * encoder_flops(shape, lengths)
    )
    return Side(who, note, turn, name_of(precision), device)


def usual_device(name: str) -> torch.device:
    """As `choose_device`, but without what that sets up in the process: others do not have it."""
    return torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )


def name_of(precision: Precision) -> str:
    """Of the type that matrix products are computed in."""
    return str(precision.dtype or torch.float32).removeprefix("torch.")


def dense_batches(count: int, rows: int, width: int, vocab_size: int) -> list[Batch]:
    """Batches of random words between [CLS] and [SEP], without padding."""
    ids = torch.randint(
        5, vocab_size, (count, rows, width), generator=torch.Generator().manual_seed(0)
    )
    ids[:, :, 0], ids[:, :, -1] = CLS, SEP
    return [Batch(one, torch.zeros_like(one), None) for one in ids]


def usual_documents(text: token_store.Text, special: SpecialIds, max_len: int) -> Iterator[Batch]:
    """Batches for ever as the usual loop has them: documents in random order, cut, padded to the longest."""
    rng = np.random.default_rng(0)
    while True:
        order = rng.permutation(len(text.starts))
        for rows in np.split(order, range(USUAL_DOCUMENTS, len(order), USUAL_DOCUMENTS)):
            ends = np.minimum(text.ends[rows], text.starts[rows] + max_len - 2)
            ids = [
                [special.cls, *text.tokens[start:end].tolist(), special.sep]
                for start, end in zip(text.starts[rows], ends)
            ]
            yield collate(ids, [[0] * len(one) for one in ids], None, 1, max_len, special.pad)


# ---------------------------------------------------------------- training: steps


def our_step(
    model: nn.Module,
    optimizer: Adam,
    precision: Precision,
    device: torch.device,
    graphs: CudaGraphs | None = None,
) -> Callable[[Batch], None]:
    """A step of the loops of train.py and finetune.py."""
    scale, numbers = LossScale(precision, device), itertools.count()
    sums: dict[str, Tensor] = {}

    def step(batch: Batch) -> None:
        result = train_step(
            model,
            [batch],
            optimizer,
            LR,
            scale,
            precision,
            derive_seed(0, next(numbers)),
            graphs=graphs,
        )
        add_up(sums, result.sums)

    return step


def usual_step(
    model: nn.Module, loss_of: Callable[[Batch], Tensor], device: torch.device, weight_decay: float
) -> Callable[[Batch], None]:
    """A step as everybody writes it: one loss, gradients clipped, torch's AdamW."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=weight_decay)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        loss_of(batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()

    return step


def transformers_classifier(
    shape: ModelConfig, classes: int, attention: str
) -> tuple[nn.Module, Callable[[Batch], Tensor]]:
    import transformers

    config = transformers_config(shape, attention)
    config.num_labels = classes
    model = transformers.ElectraForSequenceClassification(config)
    return (
        model,
        lambda batch: (
            model(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                token_type_ids=batch.token_type_ids,
                labels=batch.labels,
            ).loss
        ),
    )


def transformers_pretraining(
    shape: ModelConfig, mask_prob: float, precision: Precision, attention: str
) -> tuple[nn.Module, Callable[[Batch], Tensor]]:
    """The networks of `transformers` in our shapes over one module of embeddings, and the loss as usually written.

    Each token is masked with probability `mask_prob`, and labels of -100 keep the others out of the library's loss. Of
    the usual ways to sample, this one takes the least time on a CPU: Gumbel noise made of two logarithms
    (`torch.distributions.Gumbel` takes 1.7 times, `torch.multinomial` 1.5 times as much).
    """
    import transformers

    electra, special = shape.objective == "electra", shape.special
    generator = transformers.ElectraForMaskedLM(
        transformers_config(shape.generator() if electra else shape, attention)
    )
    networks = nn.ModuleList([generator])
    if electra:
        discriminator = transformers.ElectraForPreTraining(transformers_config(shape, attention))
        discriminator.electra.embeddings = generator.electra.embeddings
        networks.append(discriminator)

    def loss_of(batch: Batch) -> Tensor:
        ids = batch.input_ids
        draw = torch.rand((2, *ids.shape), device=ids.device)
        chosen = masking.candidates(ids, special) & (draw[0] < mask_prob)
        more = {"attention_mask": batch.attention_mask, "token_type_ids": batch.token_type_ids}
        with precision.autocast():
            guessed = generator(
                torch.where(chosen & (draw[1] < 0.85), special.mask, ids),
                labels=torch.where(chosen, ids, -100),
                **more,
            )
            if not electra:
                return guessed.loss
            with torch.no_grad():
                logits = guessed.logits[chosen].float()
                sampled = (logits - torch.log(-torch.log(torch.rand_like(logits)))).argmax(-1)
            corrupted = ids.masked_scatter(chosen, sampled)
            return (
                guessed.loss
                + RTD_WEIGHT
                * discriminator(corrupted, labels=(corrupted != ids).long(), **more).loss
            )

    return networks, loss_of


def transformers_config(shape: ModelConfig, attention: str) -> Any:
    import transformers

    return transformers.ElectraConfig(
        vocab_size=shape.vocab_size,
        embedding_size=shape.embedding_size,
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads,
        intermediate_size=shape.intermediate_size,
        max_position_embeddings=shape.max_positions,
        hidden_dropout_prob=shape.dropout,
        attention_probs_dropout_prob=shape.attention_dropout,
        pad_token_id=shape.special.pad,
        attn_implementation=attention,
    )


def go_through(
    batches: Iterable[Batch],
    step: Callable[[Batch], None],
    device: torch.device,
    flops: Callable[[np.ndarray], float],
) -> Work:
    """Make each batch and do a step with it: a turn."""
    lengths, places = [], 0
    for batch in batches:
        rows, width = batch.input_ids.shape
        lengths += (
            [width] * rows if batch.attention_mask is None else batch.attention_mask.sum(1).tolist()
        )
        places += rows * width
        step(batch.to(device))
    return Work(len(lengths), sum(lengths), places, flops=flops(np.array(lengths)))


# ---------------------------------------------------------------- training: limit and memory


def encoder_flops(shape: ModelConfig, lengths: np.ndarray) -> float:
    """Floating-point operations of the matrix products that a forward pass over examples of these lengths (n,) needs,
    two a multiply-add: the projection of the embeddings; in each layer four C x C products, two C x I, and two of the
    attention, which grow with the length. Padding needs none."""
    E, C, I = shape.embedding_size, shape.hidden_size, shape.intermediate_size
    token = (2 * E * C if E != C else 0) + shape.num_layers * (2 * 4 * C * C + 2 * 2 * C * I)
    return float(
        token * lengths.sum()
        + shape.num_layers * 2 * 2 * C * (lengths.astype(np.float64) ** 2).sum()
    )


def pretraining_flops(shape: ModelConfig, mask_prob: float, lengths: np.ndarray) -> float:
    """The same of a whole pre-training step: with the heads, the masked LM's on `mask_prob` of the tokens alone, and
    with the backward pass, which costs twice the forward pass."""
    tokens, C, E, V = (
        float(lengths.sum()),
        shape.hidden_size,
        shape.embedding_size,
        shape.vocab_size,
    )
    lm_head = lambda hidden: mask_prob * tokens * 2 * (hidden * E + E * V)
    if shape.objective == "mlm":
        return 3 * (encoder_flops(shape, lengths) + lm_head(C))
    return 3 * (
        encoder_flops(shape.generator(), lengths)
        + lm_head(shape.generator_hidden_size)
        + encoder_flops(shape, lengths)
        + tokens * 2 * (C * C + C)
    )


def bench_training(args: argparse.Namespace) -> None:
    """Start a process for every side, warm up, take turns, report."""
    make = {"pretrain": pretraining_side, "finetune": finetuning_side}[args.command]
    if args.only:
        return serve(args, make)
    with contextlib.ExitStack() as stack:
        sides = [start(stack, args.argv, who) for who in dict.fromkeys(("ours", *args.peer))]
        for side in sides:
            for _ in range(args.warm_up):
                side.turn()
        device = choose_device(args.device)
        limits = {side.dtype: matmul_limit(getattr(torch, side.dtype), device) for side in sides}
        turns = take_turns(sides, args.repeats)
        limits = {
            dtype: max(limit, matmul_limit(getattr(torch, dtype), device))
            for dtype, limit in limits.items()
        }
    memory = {side.who: turns[side.who][-1].work.memory for side in sides}
    report(
        args, sides, turns, "tokens" if args.command == "pretrain" else "examples", memory, limits
    )


def start(stack: contextlib.ExitStack, argv: list[str], who: str) -> Side:
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

    def turn() -> Work:
        print(file=process.stdin, flush=True)
        return Work(*answer())

    note, dtype = answer()
    return Side(who, note, turn, dtype)


def serve(args: argparse.Namespace, make: Callable[[argparse.Namespace, str], Side]) -> None:
    """What a process that `start` has started does."""
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):  # "training a tokenizer"
        side = make(args, args.only)
    print(json.dumps([side.note, side.dtype]), flush=True)
    for _ in sys.stdin:
        work = side.turn()
        wait(side.device)
        print(json.dumps(work._replace(memory=peak_memory(side.device))), flush=True)


def peak_memory(device: torch.device) -> int | None:
    """The most bytes that this process has held: allocated on a GPU, else resident; None off Linux."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    return (
        int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) * 1024 if status.exists() else None
    )


def matmul_limit(dtype: torch.dtype, device: torch.device) -> float:
    """FLOP/s of the fastest of PRODUCTS, the best of three tries each."""
    best = 0.0
    for m, k, n in PRODUCTS.get(device.type, PRODUCTS["cpu"]):
        a, b = (torch.randn(size, device=device).to(dtype) for size in ((m, k), (k, n)))
        a @ b
        for _ in range(3):
            wait(device)
            began = time.perf_counter()
            a @ b
            wait(device)
            best = max(best, 2 * m * k * n / (time.perf_counter() - began))
    return best


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


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
                Side(
                    "batches",
                    f"an epoch in one process, laying it out included, {args.batch_tokens} tokens a "
                    f"batch at length {args.seq_len}",
                    epochs_of_batches(text, args, tokenizer.special),
                )
            ]
        else:
            sides = [
                Side(
                    "ours",
                    f"{args.processes or 'the usual number of'} processes; their memory is that of all "
                    f"together, each with torch loaded",
                    lambda: write_store(patterns, args),
                )
            ]
        if args.repeat_text > 1:
            longer = repeated(patterns, args.repeat_text, Path(folder))
            sides.append(
                Side(
                    f"ours, text x {args.repeat_text}",
                    "the same text over and over",
                    lambda: write_store((str(longer),), args),
                )
            )
        if args.peer:
            sides.append(
                Side(
                    "tokenizers",
                    "BertWordPieceTokenizer, with threads of its own",
                    lambda: write_rust_tokens(patterns, args.tokenizer),
                )
            )
        memory = {side.who: tree_peak(side.turn) for side in sides}  # and so they have warmed up
        turns = take_turns(sides, args.repeats)
    report(args, sides, turns, "tokens" if args.pipeline else "megabytes", memory, {})


def write_store(patterns: tuple[str, ...], args: argparse.Namespace) -> Work:
    """A token store, made anew by a tokenizer that has met no word yet."""
    with tempfile.TemporaryDirectory() as cache:
        store = token_store.open_store(
            patterns, load_tokenizer(args.tokenizer), "strict", cache, args.processes
        )
        return Work(tokens=len(store.tokens), megabytes=megabytes(patterns))


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


def write_rust_tokens(patterns: tuple[str, ...], vocabulary: str) -> Work:
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
    return Work(tokens=count, megabytes=megabytes(patterns))


def epochs_of_batches(
    text: token_store.Text, args: argparse.Namespace, special: SpecialIds
) -> Callable[[], Work]:
    """What lays out an epoch of pre-training and takes all of its batches."""
    device = torch.device("cpu")
    begin = lambda: SpanBatches(*text, args.batch_tokens, train.width_multiple(device), 0, special)
    count = len(begin().lay_out(args.seq_len, 0)[1])

    def turn() -> Work:
        stream = begin()
        batches = (stream.next(args.seq_len) for _ in range(count))
        return go_through(batches, lambda batch: None, device, lambda lengths: 0.0)

    return turn


# ---------------------------------------------------------------- prediction


def bench_prediction(args: argparse.Namespace) -> None:
    content = storage.load(args.ckpt, ("classifier",))
    max_len, reviews = content["settings"]["max_len"], load_task("imdb", args.data).test
    texts = [
        reviews[i].text_a
        for i in np.random.default_rng(0).permutation(len(reviews))[: args.examples]
    ]
    encoded = encode_examples(
        storage.tokenizer_of(content), texts, [None] * len(texts), [0] * len(texts), max_len, "head"
    )
    work = Work(len(texts), int(encoded.lengths.sum()))
    with tempfile.TemporaryDirectory() as folder:
        source, exported = f"{folder}/reviews.jsonl", f"{folder}/exported"
        Path(source).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))

        def turn(*program: Any) -> Work:
            answers = run_program(program, args.threads).count(
                "\n"
            )  # a review may hold other ends of lines
            assert answers == len(texts), f"{answers} answers to {len(texts)} texts"
            return work

        sides = [
            Side(
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
                Side(
                    "transformers",
                    f"the whole program of a text-classification pipeline, batches of "
                    f"{USUAL_ROWS}, float32 as is its default, on the exported encoder; our head has another "
                    f"shape, so its own has random weights, which take the same time",
                    lambda: turn(
                        "-c",
                        PIPELINE,
                        exported,
                        source,
                        usual_device(args.device),
                        max_len,
                        USUAL_ROWS,
                    ),
                )
            )
        memory = {side.who: tree_peak(side.turn, itself=False) for side in sides}
        turns = take_turns(sides, args.repeats)
    report(args, sides, turns, "examples", memory, {})


# ---------------------------------------------------------------- start-up


def bench_startup(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = itertools.count()

        def turn() -> Work:
            out = Path(folder) / f"run-{next(runs)}"
            begin_training(args, out)
            return Work()

        turn()  # tokenises
        sides = [
            Side(
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


def take_turns(sides: list[Side], repeats: int) -> dict[str, list[Turn]]:
    """`repeats` rounds, in each of which every side has a turn; every second round goes backwards, so that nobody
    always follows the same one."""
    turns: dict[str, list[Turn]] = {side.who: [] for side in sides}
    for number in range(repeats):
        for side in sides[::-1] if number % 2 else sides:
            began = time.perf_counter()
            work = side.turn()
            turns[side.who].append(Turn(time.perf_counter() - began, work))
    return turns


def tree_peak(turn: Callable[[], Work], itself: bool = True) -> int | None:
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


def rates(turns: list[Turn], unit: str) -> list[float]:
    """Of each turn: its `unit` (a field of Work) a second."""
    return [getattr(turn.work, unit) / turn.seconds for turn in turns]


def ratios(ours: list[Turn], theirs: list[Turn], unit: str) -> list[float]:
    """How many times as fast ours is, in each round."""
    return [
        mine / other for mine, other in zip(rates(ours, unit), rates(theirs, unit), strict=True)
    ]


def summary(
    who: str,
    ours: list[Turn],
    turns: list[Turn],
    unit: str,
    memory: int | None,
    limit: float | None,
) -> dict[str, Any]:
    """A side's figures: medians over its `turns`; ratios are of the first side, `ours`, to this one."""
    result: dict[str, Any] = {
        "who": who,
        "seconds": [turn.seconds for turn in turns],
        "work": [turn.work._asdict() for turn in turns],
    }
    for name in ("examples", "tokens", "megabytes"):
        if getattr(turns[0].work, name):
            result[f"{name}_per_s"] = statistics.median(rates(turns, name))
    if turns[0].work == Work():  # all that counts is the time
        result["median_seconds"] = statistics.median(turn.seconds for turn in turns)
    if places := sum(turn.work.places for turn in turns):
        result["padding"] = 1 - sum(turn.work.tokens for turn in turns) / places
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
    sides: list[Side],
    turns: dict[str, list[Turn]],
    unit: str,
    memory: dict[str, int | None],
    limits: dict[str | None, float],
) -> None:
    """Print the table, with what is behind it, and write --json."""
    found = [
        summary(
            side.who,
            turns[sides[0].who],
            turns[side.who],
            unit,
            memory[side.who],
            limits.get(side.dtype),
        )
        for side in sides
    ]
    notes = [f"{side.who}: {side.note}" for side in sides]
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
        + f"; ratio: {unit}/s of {sides[0].who} to those of the line, with the least and the most of a round"
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
