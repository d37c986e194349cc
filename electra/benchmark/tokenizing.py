"""`bench.py tokenize`: text in, token store out; or batches out of the store."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from electra.benchmark.contender import Contender, Measurement, Workload, take_turns
from electra.benchmark.memory import tree_peak
from electra.benchmark.steps import go_through
from electra.checkpoint.storage import load_tokenizer_at
from electra.data.raw_text import Line, read_lines
from electra.data.sources import find_sources
from electra.data.spans import SpanBatches
from electra.data.token_cache import token_dtype
from electra.data.token_store import open_store, whole_text
from electra.data.tokenizer import Tokenizer
from electra.training.pretraining_text import width_multiple

LINES_PER_CHUNK = 1000  # of the peer: it has no stream of its own


def measure_tokenizing(args: argparse.Namespace) -> Measurement:
    """Let the contenders tokenise --corpus in turn, or lay out batches of it with --pipeline.

    Raises ValueError for flags that contradict each other.
    """
    tokenizer = load_tokenizer_at(args.tokenizer)
    if args.peer and not args.tokenizer.endswith(".txt"):
        raise ValueError("--peer tokenizers reads a vocab.txt; give one as --tokenizer")
    if args.pipeline and (args.peer or args.repeat_text > 1):
        raise ValueError("--pipeline is measured alone: leave out --peer and --repeat-text")

    with tempfile.TemporaryDirectory() as folder:
        if args.pipeline:
            contenders = [_batches_contender(args, tokenizer, folder)]
        else:
            contenders = _tokenizing_contenders(args, folder)
        # The turn in which memory is watched is the warm-up.
        memory = {contender.name: tree_peak(contender.run) for contender in contenders}
        trials = take_turns(contenders, args.repeats)

    unit = "tokens" if args.pipeline else "megabytes"
    return Measurement(contenders, trials, unit, memory, {})


# ---------------------------------------------------------------- text to tokens


def _tokenizing_contenders(args: argparse.Namespace, folder: str) -> list[Contender]:
    patterns = tuple(args.corpus)
    processes = args.processes or "the default number of"
    contenders = [
        Contender(
            "ours",
            f"{processes} processes; their memory is that of all together, each with torch loaded",
            lambda: _write_store(patterns, args),
        )
    ]
    if args.repeat_text > 1:
        longer = (str(_repeat_text(patterns, args.repeat_text, Path(folder))),)
        contenders.append(
            Contender(
                f"ours, text x {args.repeat_text}",
                "the same text over and over",
                lambda: _write_store(longer, args),
            )
        )
    if args.peer:
        contenders.append(
            Contender(
                "tokenizers",
                "BertWordPieceTokenizer, with threads of its own",
                lambda: _write_peer_tokens(patterns, args.tokenizer),
            )
        )
    return contenders


def _write_store(patterns: tuple[str, ...], args: argparse.Namespace) -> Workload:
    """Write a new token store, with a tokenizer that has not met any word yet."""
    with tempfile.TemporaryDirectory() as cache:
        tokenizer = load_tokenizer_at(args.tokenizer)
        store = open_store(patterns, tokenizer, "strict", cache, args.processes)
        return Workload(tokens=len(store.tokens), megabytes=megabytes(patterns))


def _write_peer_tokens(patterns: tuple[str, ...], vocabulary: str) -> Workload:
    """The same lines through the BERT tokenizer of the package `tokenizers`, onto the disk."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(vocabulary)
    dtype = token_dtype(tokenizer.get_vocab_size())
    lines, count = _read_lines(patterns), 0

    with tempfile.TemporaryFile() as file:
        while chunk := [line.text for line in itertools.islice(lines, LINES_PER_CHUNK)]:
            encoded = tokenizer.encode_batch(chunk, add_special_tokens=False)
            ids = itertools.chain.from_iterable(one.ids for one in encoded)
            tokens: np.ndarray = np.fromiter(ids, dtype)
            file.write(tokens.tobytes())
            count += len(tokens)

    return Workload(tokens=count, megabytes=megabytes(patterns))


def _repeat_text(patterns: tuple[str, ...], times: int, folder: Path) -> Path:
    """Write one file with the text `times` over, and an empty line before each document."""
    path = folder / "repeated.txt"
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(times):
            for line in _read_lines(patterns):
                file.write("\n" * line.opens + f"{line.text}\n")
    return path


def _read_lines(patterns: tuple[str, ...]) -> Iterator[Line]:
    return itertools.chain.from_iterable(map(read_lines, find_sources(patterns)))


def megabytes(patterns: tuple[str, ...]) -> float:
    """Size of a corpus in units of 10**6 bytes."""
    return sum(source.size for source in find_sources(patterns)) / 1e6


# ---------------------------------------------------------------- tokens to batches


def _batches_contender(args: argparse.Namespace, tokenizer: Tokenizer, folder: str) -> Contender:
    store = open_store(tuple(args.corpus), tokenizer, "strict", folder, args.processes)
    text = whole_text(store)
    device = torch.device("cpu")

    def begin() -> SpanBatches:
        multiple = width_multiple(device)
        return SpanBatches(text, args.batch_tokens, multiple, 0, tokenizer.special)

    note = (
        f"an epoch in one process, laying it out included, {args.batch_tokens} tokens a batch at "
        f"length {args.seq_len}"
    )
    return Contender("batches", note, _epoch_of_batches(begin, args.seq_len, device))


def _epoch_of_batches(
    begin: Callable[[], SpanBatches], seq_len: int, device: torch.device
) -> Callable[[], Workload]:
    """A turn that lays out an epoch of pre-training and takes all of its batches."""
    count = len(begin().lay_out(seq_len, 0)[1])

    def run() -> Workload:
        stream = begin()
        batches = (stream.next(seq_len) for _ in range(count))
        return go_through(batches, lambda batch: None, device, lambda lengths: 0.0)

    return run
