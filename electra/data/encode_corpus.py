"""From the lines of a corpus to token ids, in several processes and in bounded memory.

One process reads, the others encode. A bounded number of chunks is under way, so that memory does
not grow with the corpus.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import re
import tempfile
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np

from electra.data.processes import end_with_parent, interrupts_for_parent_alone
from electra.data.raw_text import Line, Reading, read_lines
from electra.data.sources import Source
from electra.data.token_cache import token_dtype
from electra.data.tokenizer import Tokenizer
from electra.data.waiting import REFRESH, Waiting

CHUNK_CHARACTERS = 500_000  # what one process encodes at a time
# Only at white space, so that the ids of the sentences are the ids of the line.
SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"')\]]))\s+")


class EncodedChunk(NamedTuple):
    """A chunk of lines as token ids. Its lines are sentences, and none is without a token."""

    tokens: np.ndarray  # (n_tokens,) uint16 or uint32
    lengths: np.ndarray  # (n_lines,) int64, tokens of each line
    opens: np.ndarray  # (n_lines,) bool, whether a line is the first of a document
    pending: bool  # a document began with a line without tokens: the next line opens it


def encode_corpus(
    sources: list[Source], tokenizer: Tokenizer, reading: Reading, workers: int, bar: Waiting
) -> Generator[EncodedChunk]:
    """Encode a corpus, chunk after chunk in its order. The bar counts bytes of the files.

    Closed before its end, it ends its processes.

    Raises ValueError for what cannot be read.
    """
    chunks = read_chunks(sources, reading, bar)
    if workers <= 1:
        for chunk in chunks:
            yield encode_lines(chunk, tokenizer)
        return

    under_way: deque[Future[EncodedChunk]] = deque()
    with _worker_pool(workers, tokenizer) as pool:
        for chunk in chunks:
            with interrupts_for_parent_alone():  # the first calls start the workers
                under_way.append(pool.submit(_encode_in_worker, chunk))
            if len(under_way) >= 2 * workers:
                yield _result(under_way.popleft(), bar)
        while under_way:
            yield _result(under_way.popleft(), bar)


@contextlib.contextmanager
def _worker_pool(workers: int, tokenizer: Tokenizer) -> Iterator[ProcessPoolExecutor]:
    """Processes that encode. They read the tokenizer from a file: handed to them as an argument, it
    is more than a pipe holds, and the parent would wait for ever, deaf to Ctrl-C, for a process
    that died at its start."""
    context = multiprocessing.get_context("spawn")  # fork is unsafe once torch has threads
    others = multiprocessing.active_children()
    with tempfile.TemporaryDirectory(prefix="electra-") as folder:
        path = Path(folder) / "tokenizer.pickle"
        path.write_bytes(pickle.dumps(tokenizer))
        pool = ProcessPoolExecutor(workers, context, _start_worker, (path, os.getpid()))
        try:
            yield pool
        except BaseException:  # Ctrl-C too: nobody waits for what they still do
            for worker in set(multiprocessing.active_children()) - set(others):
                worker.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _result(encoded: Future[EncodedChunk], bar: Waiting) -> EncodedChunk:
    """Wait for a chunk, and show the time meanwhile."""
    while True:
        try:
            return encoded.result(timeout=REFRESH)
        except TimeoutError:
            bar.update()
        except BrokenProcessPool:
            raise ValueError(
                "a process that encodes the text was killed; is there enough memory?"
            ) from None


def read_chunks(sources: list[Source], reading: Reading, bar: Waiting) -> Iterator[list[Line]]:
    """All lines of a corpus, in lists of about `CHUNK_CHARACTERS`."""
    chunk: list[Line] = []
    size = 0
    for source in sources:
        for line in read_lines(source, *reading):
            chunk.append(line)
            size += len(line.text)
            if size < CHUNK_CHARACTERS:
                continue
            yield chunk
            bar.update(reading.report.bytes_done - bar.n)
            chunk, size = [], 0
    if chunk:
        yield chunk


def encode_lines(chunk: list[Line], tokenizer: Tokenizer) -> EncodedChunk:
    """Split lines into sentences and encode them."""
    sentences, opens = [], []
    for line in chunk:
        for i, sentence in enumerate(part for part in SENTENCE_END.split(line.text) if part):
            sentences.append(sentence)
            opens.append(line.opens and i == 0)

    ids = tokenizer.encode_batch(sentences)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flags = np.array(opens, dtype=bool)
    pending = _pass_on_opens(lengths, flags)

    tokens: np.ndarray = np.fromiter(
        (token for sentence in ids for token in sentence),
        token_dtype(tokenizer.vocab_size),
        int(lengths.sum()),
    )
    kept = lengths > 0
    return EncodedChunk(tokens, lengths[kept], flags[kept], pending)


def _pass_on_opens(lengths: np.ndarray, opens: np.ndarray) -> bool:
    """Let the next line with tokens open a document whose first line has none. Changes `opens`.

    Returns whether the chunk ended before there was one. Such lines are rare: they consist of
    characters that normalisation removes.
    """
    pending = False
    for i in np.flatnonzero(lengths == 0):
        following = np.flatnonzero(lengths[i:] > 0)
        if opens[i] and len(following):
            opens[i + following[0]] = True
        elif opens[i]:
            pending = True
    return pending


_worker_tokenizer: Tokenizer | None = None  # of a worker process, set once when it starts


def _start_worker(path: Path, parent: int) -> None:
    global _worker_tokenizer
    end_with_parent(parent)
    _worker_tokenizer = pickle.loads(path.read_bytes())


def _encode_in_worker(chunk: list[Line]) -> EncodedChunk:
    assert _worker_tokenizer is not None
    return encode_lines(chunk, _worker_tokenizer)
