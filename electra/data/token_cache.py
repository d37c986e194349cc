"""The cache of tokenizers and of token ids, a folder that all runs share.

What is found there is checked before it is used: by its name, which is a digest of what it was
made from, and by a checksum.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from electra.config import SpecialIds
from electra.data.raw_text import read_lines, refuse_unreadable
from electra.data.sentencepiece import SAMPLE_BYTES, train_tokenizer
from electra.data.sources import Source, find_sources
from electra.data.text_files import is_packed
from electra.data.tokenizer import Tokenizer, load_tokenizer
from electra.data.waiting import Waiting
from electra.files import crc32_of, write_atomically

STORE_FORMAT = 2  # rises where the same files are read otherwise, or more is stored
SMALL_BYTES = 4_000_000  # below this, starting processes or writing files costs more than it saves
PACKED_RATIO = 4  # a compressed file is taken for so many times its size of text
BATCH = 1_000  # texts that are encoded in one call
LEFTOVER = re.compile(r"\.(tokenizer|tokens|texts)-.+\.[0-9]+")  # names of half-written files


def token_dtype(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest type of array that holds every id of a vocabulary."""
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def corpus_identity(
    sources: list[Source], errors: str, text_field: str | None, **more: Any
) -> dict[str, Any]:
    """What a cached file was made from. It has a digest of the files: there may be a million."""
    digest = hashlib.sha256()
    for source in sources:
        facts = (source.path.resolve(), source.is_document, source.size, source.mtime_ns)
        entry = "\0".join(map(str, facts)) + "\n"
        digest.update(entry.encode(errors="surrogateescape"))
    return {
        "format": STORE_FORMAT,
        "files": len(sources),
        "first": str(sources[0].path),
        "bytes": sum(source.size for source in sources),
        "sources": digest.hexdigest(),
        "errors": errors,
        "text_field": text_field,
        **more,
    }


def cache_path(cache: str, prefix: str, identity: dict[str, Any]) -> Path:
    """Where something with this identity is cached."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return Path(cache) / f"{prefix}-{digest[:16]}"


def check_writable(cache: Path) -> None:
    """Raise OSError where nothing can be written into a cache, before work is put into it."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as problem:
        raise OSError(
            f"the cache folder {cache} cannot be written ({problem.strerror}); name another with "
            f"--cache"
        ) from None


def check_usable(cache: Path) -> None:
    """Raise OSError where a cache has no tokens of texts, and none can be written into it."""
    if not any(cache.glob("texts-*.npz")):
        check_writable(cache)


@contextlib.contextmanager
def writing_in(cache: Path) -> Iterator[None]:
    """Hold a cache while something is written there.

    First removes what killed runs left half-written, unless another run is writing. The lock is
    on the folder, shared by all who write, and ends with its process. Where the file system has no
    locks, nothing is removed.
    """
    check_writable(cache)
    lock = os.open(cache, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_leftovers(cache)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)


def _remove_leftovers(cache: Path) -> None:
    for path in cache.iterdir():
        if LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def corpus_tokenizer(
    patterns: tuple[str, ...],
    vocab_size: int,
    cased: bool,
    errors: str,
    cache: str,
    text_field: str | None = None,
) -> Tokenizer:
    """The tokenizer of a corpus, found in `cache`, or trained and put there.

    It is trained on a sample of about `SAMPLE_BYTES` from all of the corpus. Raises ValueError
    for a corpus that cannot be read or has no text, and as `train_tokenizer` does.
    """
    sources = find_sources(patterns)
    identity = corpus_identity(sources, errors, text_field, vocab_size=vocab_size, cased=cased)
    stem = cache_path(cache, "tokenizer", identity)
    if found := _find_tokenizer(stem):
        return found

    check_writable(stem.parent)
    refuse_unreadable(sources, text_field)
    share = _sample_share(sources)
    sampled = "the text" if share == 1 else f"a sample of {share:.0%} of the text"
    print(f"training a tokenizer of up to {vocab_size:,} tokens on {sampled} …", flush=True)
    lines = _sample_lines(sources, errors, text_field, share)
    first = next(lines, None)
    if first is None:
        raise ValueError(f"the corpus {' '.join(patterns)} has no text")
    tokenizer = train_tokenizer(chain([first], lines), vocab_size, cased)

    data = tokenizer.to_bytes()
    with writing_in(stem.parent):
        write_atomically(stem.with_name(f"{stem.name}-{zlib.crc32(data):08x}.model"), data)
    return tokenizer


def _find_tokenizer(stem: Path) -> Tokenizer | None:
    """The cached tokenizer whose name begins so. Its checksum is in the name, too."""
    for path in stem.parent.glob(f"{stem.name}-*.model"):
        if path.stem == f"{stem.name}-{crc32_of(path)}":
            return load_tokenizer(path)
        print(f"the tokenizer {path} is damaged; making it again", flush=True)
        path.unlink()
    return None


def _sample_share(sources: list[Source]) -> float:
    """The share of the lines to train a tokenizer on."""
    size = sum(source.size * (PACKED_RATIO if is_packed(source) else 1) for source in sources)
    return min(1.0, SAMPLE_BYTES / max(1, size))


def _sample_lines(
    sources: list[Source], errors: str, text_field: str | None, share: float
) -> Iterator[str]:
    """A share of the lines of a corpus, the same in every run. Ends where it is far too much."""
    rng = np.random.default_rng(0)
    taken = 0
    for source in sources:
        for line in read_lines(source, errors, text_field):
            if share < 1.0 and rng.random() >= share:
                continue
            taken += len(line.text)
            if taken > 2 * SAMPLE_BYTES:
                return
            yield line.text


def is_cached(texts: list[str]) -> bool:
    """Whether so many texts are worth a file in the cache."""
    return sum(map(len, texts)) >= SMALL_BYTES


class CachedTokenizer:
    """A tokenizer that keeps the ids of long lists of texts on disk for later runs."""

    def __init__(self, tokenizer: Tokenizer, cache: str | Path) -> None:
        self.tokenizer, self.cache = tokenizer, Path(cache)
        self.special: SpecialIds = tokenizer.special

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, without special tokens, as the tokenizer itself gives them."""
        if not is_cached(texts):
            return self.tokenizer.encode_batch(texts)

        path = self._path_of(texts)
        ids = _read_ids(path)
        if ids is None:
            check_writable(self.cache)
            ids = self._encode(texts)
            with writing_in(self.cache):
                write_atomically(path, _ids_to_bytes(ids, self.tokenizer.vocab_size))
        return ids

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """The ids, in batches: one call for all of them would heed no Ctrl-C until its end."""
        ids: list[list[int]] = []
        with Waiting("tokenising", len(texts), " texts") as bar:
            for begin in range(0, len(texts), BATCH):
                ids += self.tokenizer.encode_batch(texts[begin : begin + BATCH])
                bar.update(len(ids) - bar.n)
        return ids

    def _path_of(self, texts: list[str]) -> Path:
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        for text in texts:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        return self.cache / f"texts-{digest.hexdigest()[:32]}.npz"


def _read_ids(path: Path) -> list[list[int]] | None:
    """The ids of texts in a file; None where it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            tokens, ends = stored["tokens"], stored["ends"]
        return [part.tolist() for part in np.split(tokens, ends[:-1])]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _ids_to_bytes(ids: list[list[int]], vocab_size: int) -> bytes:
    """An .npz of `tokens`, all ids in a row, and `ends` (n_texts,), where each text ends."""
    ends = np.cumsum([len(one) for one in ids])
    tokens: np.ndarray = np.fromiter(
        (token for one in ids for token in one), token_dtype(vocab_size), int(ends[-1])
    )
    stored = io.BytesIO()
    np.savez(stored, tokens=tokens, ends=ends)
    return stored.getvalue()
