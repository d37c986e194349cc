"""The token store: a corpus as one flat array of ids on disk, with its lines and documents."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from electra.data.raw_text import OPENERS, SENTENCE_END, Line, Source, find_sources, read_lines
from electra.data.token_cache import (
    SMALL_BYTES,
    cache_path,
    corpus_identity,
    token_dtype,
    writing_in,
)
from electra.data.tokenizer import Tokenizer
from electra.files import crc32_of

STORE_FILES = ("tokens.bin", "lines.bin", "documents.bin", "unigram.bin")
CHUNK_CHARACTERS = 500_000  # what one process encodes at a time
HELD_OUT = 0.005  # share of the documents


def _chunks(sources: list[Source], errors: str, bar: tqdm) -> Iterator[list[Line]]:
    """All lines, in lists of about CHUNK_CHARACTERS. The bar counts bytes of files."""
    chunk: list[Line] = []
    size = 0
    for source in sources:
        for line in read_lines(source, errors):
            chunk.append(line)
            size += len(line.text)
            if size >= CHUNK_CHARACTERS:
                yield chunk
                if source.path.suffix not in OPENERS:
                    bar.update(min(size, max(0, bar.total - bar.n)))
                chunk, size = [], 0
    if chunk:
        yield chunk


class Encoded(NamedTuple):
    """A chunk in ids."""

    tokens: np.ndarray  # (n,) uint16 or uint32
    lengths: np.ndarray  # (lines,) int64
    opens: np.ndarray  # (lines,) bool
    pending: bool  # a document was opened by a line that came out empty; the next line opens it


def encode_lines(chunk: list[Line], tokenizer: Tokenizer) -> Encoded:
    """Split lines into sentences and encode them."""
    texts, opens = [], []
    for line in chunk:
        for i, sentence in enumerate(part for part in SENTENCE_END.split(line.text) if part):
            texts.append(sentence)
            opens.append(line.opens and i == 0)
    ids = tokenizer.encode_batch(texts)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    flags = np.array(opens, dtype=bool)
    pending = False
    for i in np.flatnonzero(
        lengths == 0
    ):  # seldom: a line of characters that normalisation removes
        following = np.flatnonzero(lengths[i:] > 0)
        if flags[i] and len(following):
            flags[i + following[0]] = True
        elif flags[i]:
            pending = True
    there = lengths > 0
    dtype = token_dtype(tokenizer.vocab_size)
    flat = np.fromiter((token for line in ids for token in line), dtype, int(lengths.sum()))
    return Encoded(flat, lengths[there], flags[there], pending)


_tokenizer: Tokenizer | None = None  # of a worker process, set once when it starts


def _start_worker(tokenizer: Tokenizer) -> None:
    global _tokenizer
    _tokenizer = tokenizer


def _work(chunk: list[Line]) -> Encoded:
    assert _tokenizer is not None
    return encode_lines(chunk, _tokenizer)


def _encode_all(
    chunks: Iterator[list[Line]], tokenizer: Tokenizer, workers: int
) -> Iterator[Encoded]:
    """Encode chunks in order, with at most two under way for each process."""
    if workers <= 1:
        for chunk in chunks:
            yield encode_lines(chunk, tokenizer)
        return
    context = multiprocessing.get_context("spawn")  # fork is unsafe once torch has threads
    with ProcessPoolExecutor(workers, context, _start_worker, (tokenizer,)) as pool:
        under_way: deque = deque()
        for chunk in chunks:
            under_way.append(pool.submit(_work, chunk))
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


class TokenStore(NamedTuple):
    """A tokenised corpus, memory-mapped."""

    tokens: np.ndarray  # (n_tokens,) uint16 or uint32
    lines: np.ndarray  # (n_lines + 1,) int64 into tokens
    documents: np.ndarray  # (n_documents + 1,) int64 into lines
    unigram: np.ndarray  # (vocab_size,) int64


def open_store(
    patterns: tuple[str, ...],
    tokenizer: Tokenizer,
    errors: str,
    cache: str,
    workers: int | None = None,
) -> TokenStore:
    """The token store of a corpus: found in `cache`, or made there, again where it is damaged. `workers` processes,
    default one a core.

    Raises ValueError for a corpus that cannot be read or has no text; then nothing is left in the cache.
    """
    sources = find_sources(patterns)
    identity = corpus_identity(sources, errors, tokenizer=tokenizer.fingerprint)
    folder = cache_path(cache, "tokens", identity)
    there = folder.exists()  # before it is looked at: another run may be making it just now
    if flaw := find_corruption(folder, identity):
        if there:
            print(f"the token store {folder} is damaged ({flaw}); making it again", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        with writing_in(folder.parent):
            _write_store(folder, sources, tokenizer, errors, identity, workers)
    dtype = token_dtype(tokenizer.vocab_size)
    read = lambda name, dtype: np.memmap(folder / name, dtype, "r")
    return TokenStore(
        read("tokens.bin", dtype),
        read("lines.bin", np.int64),
        read("documents.bin", np.int64),
        np.fromfile(folder / "unigram.bin", np.int64),
    )


def find_corruption(folder: Path, identity: dict[str, object]) -> str | None:
    """Why a folder is not the whole store of `identity`; None where it is. Reads all of it, a second for two gigabytes."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if not _is_meta(meta):
            return "meta.json is not what was written, or of a version without checksums"
        if meta["identity"] != identity:
            return "meta.json is not of this corpus and tokenizer"
        for name in STORE_FILES:
            if (folder / name).stat().st_size != meta["sizes"][name]:
                return f"{name} has lost its end"
            if crc32_of(folder / name) != meta["crc32"][name]:
                return f"the checksum of {name} is wrong"
    except OSError as problem:
        return str(problem)
    except ValueError:
        return "meta.json is not JSON"
    return None


def _is_meta(meta: object) -> bool:
    """Whether parsed JSON tells the identity of a store, and size and checksum of each file."""
    if not isinstance(meta, dict) or "identity" not in meta:
        return False
    return all(
        isinstance(meta.get(part), dict) and set(meta[part]) >= set(STORE_FILES)
        for part in ("sizes", "crc32")
    )


def _write_store(
    folder: Path,
    sources: list[Source],
    tokenizer: Tokenizer,
    errors: str,
    identity: dict[str, object],
    workers: int | None,
) -> None:
    total = sum(source.size for source in sources)
    if workers is None:
        workers = (os.cpu_count() or 1) if total > SMALL_BYTES else 1
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        unigram = np.zeros(tokenizer.vocab_size, np.int64)
        tokens, lines, documents, pending = 0, 0, 0, False
        with (
            open(temporary / "tokens.bin", "wb") as token_file,
            open(temporary / "lines.bin", "wb") as line_file,
            open(temporary / "documents.bin", "wb") as document_file,
            tqdm(total=total, unit="B", unit_scale=True, desc="tokenising", disable=None) as bar,
        ):
            line_file.write(np.zeros(1, np.int64).tobytes())
            for part in _encode_all(_chunks(sources, errors, bar), tokenizer, workers):
                opens = part.opens
                if pending and len(opens):
                    opens[0] = True
                pending = part.pending or (pending and not len(opens))
                token_file.write(part.tokens.tobytes())
                line_file.write((np.cumsum(part.lengths) + tokens).tobytes())
                document_file.write((np.flatnonzero(opens) + lines).astype(np.int64).tobytes())
                unigram += np.bincount(part.tokens, minlength=len(unigram))
                tokens, lines, documents = (
                    tokens + len(part.tokens),
                    lines + len(opens),
                    documents + int(opens.sum()),
                )
            document_file.write(np.array([lines], np.int64).tobytes())
        if not tokens:
            raise ValueError(
                f"the corpus {sources[0].path}{' …' if len(sources) > 1 else ''} has no text"
            )
        unigram.tofile(temporary / "unigram.bin")
        (temporary / "meta.json").write_text(
            json.dumps(
                {
                    "identity": identity,
                    "tokens": tokens,
                    "lines": lines,
                    "documents": documents,
                    "sizes": {name: (temporary / name).stat().st_size for name in STORE_FILES},
                    "crc32": {name: crc32_of(temporary / name) for name in STORE_FILES},
                },
                indent=1,
            )
        )
        try:
            os.rename(temporary, folder)
        except OSError:
            if find_corruption(folder, identity):  # another run may have been faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class Text(NamedTuple):
    """Documents of a store: those to train on, or those held out."""

    tokens: np.ndarray  # (n_tokens,) of the whole store
    lines: np.ndarray  # (n_lines + 1,) int64 into tokens, of the whole store
    starts: np.ndarray  # (n_documents,) int64 into tokens
    ends: np.ndarray  # (n_documents,) int64 into tokens

    @property
    def num_tokens(self) -> int:
        return int((self.ends - self.starts).sum())


def whole(store: TokenStore) -> Text:
    """All documents of a store."""
    bounds = np.asarray(store.lines[store.documents])
    return Text(store.tokens, store.lines, bounds[:-1], bounds[1:])


def hold_out(store: TokenStore, share: float = HELD_OUT) -> tuple[Text, Text]:
    """(train, held out): `share` of the documents, but a tenth or 5 of them where that is more, the same ones in every
    run. Of a single document, the last lines are held out."""
    text = whole(store)
    count = len(text.starts)
    if count == 1:
        number = len(store.lines) - 1
        cut = int(store.lines[max(1, number - max(1, round(number * share)))])
        cut = cut if cut < text.ends[0] else int(text.ends[0] * 0.95)
        at = np.array([cut])
        return text._replace(ends=at), text._replace(starts=at)
    held = np.zeros(count, dtype=bool)
    held[
        np.random.default_rng(0).permutation(count)[
            : max(1, round(count * share), min(5, count // 10))
        ]
    ] = True
    pick = lambda where: text._replace(starts=text.starts[where], ends=text.ends[where])
    return pick(~held), pick(held)
