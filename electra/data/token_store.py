"""The token store: a corpus as one flat array of token ids on disk, with its lines and documents.

It is a folder, made once per corpus and tokenizer, and renamed into place when it is whole:

    tokens.bin      (n_tokens,) uint16 where the vocabulary fits, else uint32
    lines.bin       (n_lines + 1,) int64: where each line begins in tokens.bin
    documents.bin   (n_documents + 1,) int64: the first line of each document
    unigram.bin     (vocab_size,) int64: how often each id occurs
    summary.json    what was read, and a fingerprint of the tokens in their order
    meta.json       sizes and checksums, and what the store was made from

A line is a sentence where the text marks its end, else a line of the file: the places at which a
pre-training example may be split into segments.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from electra.data.encode_corpus import EncodedChunk, encode_corpus
from electra.data.processes import available_cores
from electra.data.raw_text import Reading, refuse_unreadable
from electra.data.sources import ReadingReport, Source, find_sources
from electra.data.token_cache import (
    SMALL_BYTES,
    cache_path,
    corpus_identity,
    token_dtype,
    writing_in,
)
from electra.data.tokenizer import Tokenizer
from electra.data.waiting import Waiting
from electra.files import crc32_of

STORE_FILES = ("tokens.bin", "lines.bin", "documents.bin", "unigram.bin", "summary.json")
HELD_OUT = 0.005  # share of the documents


class Summary(NamedTuple):
    """What was read to make a store."""

    fingerprint: str  # of the tokens in their order, their lines and their documents
    files: int  # of an archive, its members
    text_bytes: int  # unpacked
    left_out: dict[str, int]  # how many files by the reason
    undivided: int  # files of many lines that are one document
    markup: int  # files that begin like HTML or XML


class TokenStore(NamedTuple):
    """A tokenised corpus, memory-mapped."""

    tokens: np.ndarray  # (n_tokens,) uint16 or uint32
    lines: np.ndarray  # (n_lines + 1,) int64 into tokens
    documents: np.ndarray  # (n_documents + 1,) int64 into lines
    unigram: np.ndarray  # (vocab_size,) int64
    summary: Summary


def open_store(
    patterns: tuple[str, ...],
    tokenizer: Tokenizer,
    errors: str,
    cache: str,
    workers: int | None = None,
    text_field: str | None = None,
) -> TokenStore:
    """The token store of a corpus, found in `cache` or made there; a damaged one is made again.

    `patterns`, `errors` and `text_field` are those of `find_sources` and `read_lines`. It is made
    by `workers` processes; the default is one a core for a corpus that is not small.

    Raises ValueError for a corpus that cannot be read or has no text; then nothing is left in the
    cache.
    """
    reading = Reading(errors, text_field, ReadingReport())
    sources = find_sources(patterns, reading.report)
    identity = corpus_identity(sources, errors, text_field, tokenizer=tokenizer.fingerprint)
    folder = cache_path(cache, "tokens", identity)
    # Asked before the folder is checked: another run may be making it at this moment.
    existed = folder.exists()
    if problem := find_corruption(folder, identity):
        if existed:
            print(f"the token store {folder} is damaged ({problem}); making it again", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        refuse_unreadable(sources, text_field)
        with writing_in(folder.parent):
            _write_store(folder, sources, tokenizer, identity, reading, workers)

    return TokenStore(
        np.memmap(folder / "tokens.bin", token_dtype(tokenizer.vocab_size), "r"),
        np.memmap(folder / "lines.bin", np.int64, "r"),
        np.memmap(folder / "documents.bin", np.int64, "r"),
        np.fromfile(folder / "unigram.bin", np.int64),
        Summary(**json.loads((folder / "summary.json").read_text())),
    )


def find_corruption(folder: Path, identity: dict[str, Any]) -> str | None:
    """Why a folder is not the whole store of `identity`; None where it is.

    Reads all of it, which takes about a second for two gigabytes.
    """
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
    identity: dict[str, Any],
    reading: Reading,
    workers: int | None,
) -> None:
    """Write a store under a temporary name, then give it its own."""
    total = sum(source.size for source in sources)
    if workers is None:
        workers = available_cores() if total > SMALL_BYTES else 1
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        with (
            Waiting("tokenising", total) as bar,
            closing(encode_corpus(sources, tokenizer, reading, workers, bar)) as chunks,
        ):
            counts, fingerprint = _write_arrays(temporary, chunks, tokenizer.vocab_size)
        if not counts["tokens"]:
            more = " …" if len(sources) > 1 else ""
            raise ValueError(f"the corpus {sources[0].path}{more} has no text")
        _write_summary(temporary, fingerprint, reading.report)
        _write_meta(temporary, identity, counts)
        _move_into_place(temporary, folder, identity)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _HashedFile:
    """A file of an array that is written part by part, and a digest of what was written."""

    def __init__(self, path: Path) -> None:
        self.file = open(path, "wb")  # noqa: SIM115, closed by `__exit__`
        self.digest = hashlib.sha256()

    def __enter__(self) -> _HashedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, part: np.ndarray) -> None:
        data = part.tobytes()
        self.digest.update(data)
        self.file.write(data)


def _write_arrays(
    folder: Path, chunks: Iterable[EncodedChunk], vocab_size: int
) -> tuple[dict[str, int], str]:
    """Write the arrays of a store.

    Returns how many tokens, lines and documents there are, and their fingerprint.
    """
    unigram = np.zeros(vocab_size, np.int64)
    tokens, lines, documents, pending = 0, 0, 0, False
    with (
        _HashedFile(folder / "tokens.bin") as token_file,
        _HashedFile(folder / "lines.bin") as line_file,
        _HashedFile(folder / "documents.bin") as document_file,
    ):
        line_file.write(np.zeros(1, np.int64))
        for chunk in chunks:
            opens = chunk.opens
            if pending and len(opens):
                opens[0] = True
            pending = chunk.pending or (pending and not len(opens))

            token_file.write(chunk.tokens)
            line_file.write(np.cumsum(chunk.lengths) + tokens)
            document_file.write((np.flatnonzero(opens) + lines).astype(np.int64))
            unigram += np.bincount(chunk.tokens, minlength=len(unigram))

            tokens += len(chunk.tokens)
            lines += len(opens)
            documents += int(opens.sum())
        document_file.write(np.array([lines], np.int64))
    unigram.tofile(folder / "unigram.bin")
    digests = "".join(file.digest.hexdigest() for file in (token_file, line_file, document_file))
    fingerprint = hashlib.sha256(digests.encode()).hexdigest()
    return {"tokens": tokens, "lines": lines, "documents": documents}, fingerprint


def _write_summary(folder: Path, fingerprint: str, report: ReadingReport) -> None:
    summary = Summary(
        fingerprint,
        report.files,
        report.text_bytes,
        {reason: count for reason, count in report.left_out.items() if count},
        report.undivided,
        report.markup,
    )
    (folder / "summary.json").write_text(json.dumps(summary._asdict(), indent=1))


def _write_meta(folder: Path, identity: dict[str, Any], counts: dict[str, int]) -> None:
    meta = {
        "identity": identity,
        **counts,
        "sizes": {name: (folder / name).stat().st_size for name in STORE_FILES},
        "crc32": {name: crc32_of(folder / name) for name in STORE_FILES},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def _move_into_place(temporary: Path, folder: Path, identity: dict[str, Any]) -> None:
    try:
        os.rename(temporary, folder)
    except OSError:
        # Another run may have made the same store meanwhile. Then that one is used.
        if find_corruption(folder, identity):
            raise


class Text(NamedTuple):
    """Documents of a store: those to train on, or those held out."""

    tokens: np.ndarray  # (n_tokens,) of the whole store
    lines: np.ndarray  # (n_lines + 1,) int64 into tokens, of the whole store
    starts: np.ndarray  # (n_documents,) int64 into tokens
    ends: np.ndarray  # (n_documents,) int64 into tokens

    @property
    def num_tokens(self) -> int:
        """Tokens of these documents."""
        return int((self.ends - self.starts).sum())

    def select(self, chosen: np.ndarray) -> Text:
        """The documents where `chosen`, (n_documents,) bool, is true."""
        return self._replace(starts=self.starts[chosen], ends=self.ends[chosen])


def whole_text(store: TokenStore) -> Text:
    """All documents of a store."""
    bounds = np.asarray(store.lines[store.documents])
    return Text(store.tokens, store.lines, bounds[:-1], bounds[1:])


def hold_out(store: TokenStore, share: float = HELD_OUT) -> tuple[Text, Text]:
    """(train, held out): the same documents in every run.

    Held out is `share` of the documents, or a tenth or 5 of them, the fewer, where that is more.
    Of a single document the last lines are held out.
    """
    text = whole_text(store)
    count = len(text.starts)
    if count == 1:
        return _hold_out_last_lines(text, share)

    number = max(1, round(count * share), min(5, count // 10))
    held = np.zeros(count, dtype=bool)
    held[np.random.default_rng(0).permutation(count)[:number]] = True
    return text.select(~held), text.select(held)


def _hold_out_last_lines(text: Text, share: float) -> tuple[Text, Text]:
    """Cut a single document before the last `share` of its lines; one of a single line in two."""
    lines = len(text.lines) - 1
    cut = int(text.lines[max(1, lines - max(1, round(lines * share)))])
    if cut >= text.ends[0]:
        cut = int(text.ends[0] * 0.95)
    at = np.array([cut])
    return text._replace(ends=at), text._replace(starts=at)
