"""The cache of tokenizers and of tokenised texts, shared by runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from electra.data.raw_text import OPENERS, Source, find_sources, read_lines
from electra.data.sentencepiece import SAMPLE_BYTES, train_tokenizer
from electra.data.tokenizer import Tokenizer, load_tokenizer
from electra.files import crc32_of, write_atomically

STORE_FORMAT = 1
SMALL_BYTES = 4_000_000  # below this, starting processes takes longer than the work


def token_dtype(vocab_size: int) -> type:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def corpus_identity(sources: list[Source], errors: str, **more: object) -> dict[str, object]:
    """What a cached file was made from. The list of files is kept as a digest: there may be a million."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(
            f"{source.path.resolve()}\0{source.kind}\0{source.size}\0{source.mtime_ns}\n".encode(
                errors="surrogateescape"
            )
        )
    return {
        "format": STORE_FORMAT,
        "files": len(sources),
        "first": str(sources[0].path),
        "bytes": sum(source.size for source in sources),
        "sources": digest.hexdigest(),
        "errors": errors,
        **more,
    }


def cache_path(cache: str, prefix: str, identity: dict[str, object]) -> Path:
    return (
        Path(cache)
        / f"{prefix}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"
    )


def corpus_tokenizer(
    patterns: tuple[str, ...], vocab_size: int, cased: bool, errors: str, cache: str
) -> Tokenizer:
    """The tokenizer of a corpus: trained on a sample of at most SAMPLE_BYTES of it, or found from an earlier run."""
    sources = find_sources(patterns)
    stem = cache_path(
        cache, "tokenizer", corpus_identity(sources, errors, vocab_size=vocab_size, cased=cased)
    )
    for path in stem.parent.glob(f"{stem.name}-*.model"):  # the checksum is in the name
        if path.stem == f"{stem.name}-{crc32_of(path)}":
            return load_tokenizer(path)
        print(f"the tokenizer {path} is damaged; making it again", flush=True)
        path.unlink()
    # A compressed file is taken for a quarter of its text.
    size = sum(source.size * (4 if source.path.suffix in OPENERS else 1) for source in sources)
    share = min(1.0, SAMPLE_BYTES / max(1, size))
    rng = np.random.default_rng(0)

    def sample() -> Iterator[str]:
        taken = 0
        for source in sources:
            for line in read_lines(source, errors):
                if share == 1.0 or rng.random() < share:
                    taken += len(line.text)
                    if taken > 2 * SAMPLE_BYTES:
                        return
                    yield line.text

    print(
        f"training a tokenizer of up to {vocab_size:,} tokens on "
        f"{'the text' if share == 1 else f'a sample of {share:.0%} of the text'} …",
        flush=True,
    )
    lines = sample()
    first = next(lines, None)
    if first is None:
        raise ValueError(f"the corpus {' '.join(patterns)} has no text")
    tokenizer = train_tokenizer(
        (line for part in ([first], lines) for line in part), vocab_size, cased
    )
    data = tokenizer.to_bytes()
    with writing_in(stem.parent):
        write_atomically(stem.with_name(f"{stem.name}-{zlib.crc32(data):08x}.model"), data)
    return tokenizer


class CachedTokenizer:
    """A tokenizer that keeps the ids of long lists of texts on disk, for the next run with the same texts."""

    def __init__(self, tokenizer: Tokenizer, cache: str | Path) -> None:
        self.tokenizer, self.cache, self.special = tokenizer, Path(cache), tokenizer.special

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """As the tokenizer's own."""
        if sum(map(len, texts)) < SMALL_BYTES:
            return self.tokenizer.encode_batch(texts)
        digest = hashlib.sha256(self.tokenizer.fingerprint.encode())
        for text in texts:
            data = text.encode()
            digest.update(len(data).to_bytes(8, "little") + data)
        path = self.cache / f"texts-{digest.hexdigest()[:32]}.npz"
        try:
            with np.load(path, allow_pickle=False) as stored:
                tokens, ends = stored["tokens"], stored["ends"]
            return [part.tolist() for part in np.split(tokens, ends[:-1])]
        except (
            OSError,
            ValueError,
            KeyError,
            EOFError,
            zipfile.BadZipFile,
        ):  # not there, or damaged
            pass
        ids = self.tokenizer.encode_batch(texts)
        ends = np.cumsum([len(one) for one in ids])
        flat = np.fromiter(
            (token for one in ids for token in one),
            token_dtype(self.tokenizer.vocab_size),
            ends[-1],
        )
        stored = io.BytesIO()
        np.savez(stored, tokens=flat, ends=ends)
        with writing_in(self.cache):
            write_atomically(path, stored.getvalue())
        return ids


@contextlib.contextmanager
def writing_in(cache: Path) -> Iterator[None]:
    """Hold a cache while something is written there; first remove what killed runs left half-written, if nobody else
    holds it. The lock is the folder's own, shared by all who write, and dies with its process. Where the file system has
    no locks, nothing is removed."""
    cache.mkdir(parents=True, exist_ok=True)
    lock = os.open(cache, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in cache.iterdir():
                if re.fullmatch(r"\.(tokenizer|tokens|texts)-.+\.[0-9]+", path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)
