"""Raw text -> documents -> token store: a folder of flat arrays on disk, made once per corpus and tokenizer.

    tokens.bin      token ids, uint16 where the vocabulary fits, else uint32
    lines.bin       int64, n_lines + 1: where each line begins in tokens.bin. A line is a sentence where the text marks
                    its end, else a line of the file: the places at which an example may be split into segments
    documents.bin   int64, n_documents + 1: the first line of each document
    unigram.bin     int64, vocab_size: how often each id occurs
    meta.json       sizes and checksums, the tokenizer's fingerprint, the sources' names, sizes and times

One process reads and writes in order, the others turn text into ids; a bounded number of chunks is under way, so memory
does not grow with the corpus. The folder gets its name when it is whole.
"""

from __future__ import annotations

import bz2
import contextlib
import fcntl
import glob
import gzip
import hashlib
import io
import json
import lzma
import multiprocessing
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from electra.tokenizer import SAMPLE_BYTES, Tokenizer, load_tokenizer, train_tokenizer

STORE_FORMAT = 1
STORE_FILES = ("tokens.bin", "lines.bin", "documents.bin", "unigram.bin")
LONGEST_LINE = 10_000_000    # bytes; a longer one is a file in another format, and would not fit in memory twice
CHUNK_CHARACTERS = 500_000   # what one process encodes at a time
SMALL_BYTES = 4_000_000      # below this, starting processes takes longer than the work
HELD_OUT = 0.005             # share of the documents

OPENERS: dict[str, Callable] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
TITLE = re.compile(r"= [^=].* =|= [^=\s] =")
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Only at white space, so that the ids of the sentences are the ids of the line.
SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"')\]]))\s+")


class Source(NamedTuple):
    """One file of a corpus. `kind`: "text", "document" (a .txt of a folder: one document) or "jsonl"."""

    path: Path
    kind: str
    size: int
    mtime_ns: int


class Line(NamedTuple):
    """A line of text with something on it."""

    text: str
    opens: bool   # the first of a document


def find_sources(patterns: tuple[str, ...]) -> list[Source]:
    """Files, folders and globs -> files, sorted within each. Raises ValueError naming what is not there."""
    sources = []
    for pattern in patterns:
        path = Path(pattern)
        paths = [path] if path.exists() else [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
        if not paths:
            raise ValueError(f"no such corpus: {pattern}")
        for path in paths:
            if path.is_dir():
                found = sorted(path.rglob("*.txt"))
                if not found:
                    raise ValueError(f"the folder {path} has no .txt file; name the files themselves, or a glob")
                sources += [_source(p, "document") for p in found]
            else:
                stem = path.with_suffix("") if path.suffix in OPENERS else path
                sources.append(_source(path, "jsonl" if stem.suffix == ".jsonl" else "text"))
    return sources


def _source(path: Path, kind: str) -> Source:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):   # a pipe would be waited for, a device never ends
            raise ValueError(f"cannot read {path}: not a file")
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "permission denied")
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return Source(path, kind, facts.st_size, facts.st_mtime_ns)


def _raw_lines(source: Source, errors: str) -> Iterator[str]:
    """The decoded lines of a file, blank ones too, without their ends."""
    path, offset, number = source.path, 0, 0
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            while raw := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(raw) > LONGEST_LINE:
                    raise ValueError(f"{path}: line {number} is longer than {LONGEST_LINE:,} bytes; is it text with "
                                     f"line ends?")
                try:
                    line = raw.decode("utf-8", errors)
                except UnicodeDecodeError as problem:
                    raise ValueError(f"{path}: the byte at offset {offset + problem.start} is not UTF-8; convert the "
                                     f"file, or go on with --errors replace") from None
                offset += len(raw)
                yield line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as problem:
        raise ValueError(f"cannot read {path}: {problem}") from None
    except MemoryError:   # an .xz says how much it takes
        raise ValueError(f"cannot read {path}: there is not enough memory to unpack it") from None


def _has_titles(source: Source, errors: str) -> bool:
    """Whether the first thousand lines hold a ` = Title = `: WikiText's layout, where blank lines mean nothing."""
    return any(TITLE.fullmatch(line.strip()) for line, _ in zip(_raw_lines(source, errors), range(1000)))


def read_lines(source: Source, errors: str = "strict") -> Iterator[Line]:
    """The lines of a file that hold text, each told whether it opens a document. `<br />` ends a line.

    Raises ValueError naming the file, and the line or offset, for what cannot be read.
    """
    opens = True
    if source.kind == "jsonl":
        for number, line in enumerate(_raw_lines(source, errors), 1):
            if not line.strip():
                continue
            try:
                text = json.loads(line)["text"]
                if not isinstance(text, str):
                    raise TypeError
                text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")   # half a surrogate pair has no UTF-8
            except (ValueError, RecursionError):   # also of a number with thousands of digits
                raise ValueError(f"{source.path}: line {number} is not JSON") from None
            except (KeyError, TypeError, IndexError):
                raise ValueError(f"{source.path}: line {number} has no \"text\" that is a string") from None
            opens = True
            for part in _parts(text):
                yield Line(part, opens)
                opens = False
        return
    titles = source.kind == "text" and _has_titles(source, errors)
    for line in _raw_lines(source, errors):
        stripped = line.strip()
        if not stripped:
            opens = opens or (source.kind == "text" and not titles)
        elif titles and TITLE.fullmatch(stripped):
            yield Line(stripped, True)
            opens = False
        else:
            for part in _parts(stripped):
                yield Line(part, opens)
                opens = False


def _parts(text: str) -> Iterator[str]:
    if "<" in text:
        text = BREAK.sub("\n", text)
    for part in text.split("\n"):
        if part := part.strip():
            yield part


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

    tokens: np.ndarray    # (n,) uint16 or uint32
    lengths: np.ndarray   # (lines,) int64
    opens: np.ndarray     # (lines,) bool
    pending: bool         # a document was opened by a line that came out empty; the next line opens it


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
    for i in np.flatnonzero(lengths == 0):   # seldom: a line of characters that normalisation removes
        following = np.flatnonzero(lengths[i:] > 0)
        if flags[i] and len(following):
            flags[i + following[0]] = True
        elif flags[i]:
            pending = True
    there = lengths > 0
    dtype = token_dtype(tokenizer.vocab_size)
    flat = np.fromiter((token for line in ids for token in line), dtype, int(lengths.sum()))
    return Encoded(flat, lengths[there], flags[there], pending)


def token_dtype(vocab_size: int) -> type:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


_tokenizer: Tokenizer | None = None   # of a worker process, set once when it starts


def _start_worker(tokenizer: Tokenizer) -> None:
    global _tokenizer
    _tokenizer = tokenizer


def _work(chunk: list[Line]) -> Encoded:
    assert _tokenizer is not None
    return encode_lines(chunk, _tokenizer)


def _encode_all(chunks: Iterator[list[Line]], tokenizer: Tokenizer, workers: int) -> Iterator[Encoded]:
    """Encode chunks in order, with at most two under way for each process."""
    if workers <= 1:
        for chunk in chunks:
            yield encode_lines(chunk, tokenizer)
        return
    context = multiprocessing.get_context("spawn")   # fork is unsafe once torch has threads
    with ProcessPoolExecutor(workers, context, _start_worker, (tokenizer,)) as pool:
        under_way: deque = deque()
        for chunk in chunks:
            under_way.append(pool.submit(_work, chunk))
            if len(under_way) >= 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _identity(sources: list[Source], errors: str, **more: object) -> dict[str, object]:
    """What a cached file was made from. The list of files is kept as a digest: there may be a million."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.path.resolve()}\0{source.kind}\0{source.size}\0{source.mtime_ns}\n".encode(
            errors="surrogateescape"))
    return {"format": STORE_FORMAT, "files": len(sources), "first": str(sources[0].path),
            "bytes": sum(source.size for source in sources), "sources": digest.hexdigest(), "errors": errors, **more}


def _cache_path(cache: str, prefix: str, identity: dict[str, object]) -> Path:
    return Path(cache) / f"{prefix}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"


def corpus_tokenizer(patterns: tuple[str, ...], vocab_size: int, cased: bool, errors: str, cache: str
                     ) -> Tokenizer:
    """The tokenizer of a corpus: trained on a sample of at most SAMPLE_BYTES of it, or found from an earlier run."""
    sources = find_sources(patterns)
    stem = _cache_path(cache, "tokenizer", _identity(sources, errors, vocab_size=vocab_size, cased=cased))
    for path in stem.parent.glob(f"{stem.name}-*.model"):   # the checksum is in the name
        if path.stem == f"{stem.name}-{_crc32(path)}":
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

    print(f"training a tokenizer of up to {vocab_size:,} tokens on "
          f"{'the text' if share == 1 else f'a sample of {share:.0%} of the text'} …", flush=True)
    lines = sample()
    first = next(lines, None)
    if first is None:
        raise ValueError(f"the corpus {' '.join(patterns)} has no text")
    tokenizer = train_tokenizer((line for part in ([first], lines) for line in part), vocab_size, cased)
    data = tokenizer.to_bytes()
    with _writing_in(stem.parent):
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
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):   # not there, or damaged
            pass
        ids = self.tokenizer.encode_batch(texts)
        ends = np.cumsum([len(one) for one in ids])
        flat = np.fromiter((token for one in ids for token in one), token_dtype(self.tokenizer.vocab_size), ends[-1])
        stored = io.BytesIO()
        np.savez(stored, tokens=flat, ends=ends)
        with _writing_in(self.cache):
            write_atomically(path, stored.getvalue())
        return ids


@contextlib.contextmanager
def _writing_in(cache: Path) -> Iterator[None]:
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


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class TokenStore(NamedTuple):
    """A tokenised corpus, memory-mapped."""

    tokens: np.ndarray      # (n_tokens,) uint16 or uint32
    lines: np.ndarray       # (n_lines + 1,) int64 into tokens
    documents: np.ndarray   # (n_documents + 1,) int64 into lines
    unigram: np.ndarray     # (vocab_size,) int64


def open_store(patterns: tuple[str, ...], tokenizer: Tokenizer, errors: str, cache: str,
               workers: int | None = None) -> TokenStore:
    """The token store of a corpus: found in `cache`, or made there, again where it is damaged. `workers` processes,
    default one a core.

    Raises ValueError for a corpus that cannot be read or has no text; then nothing is left in the cache.
    """
    sources = find_sources(patterns)
    identity = _identity(sources, errors, tokenizer=tokenizer.fingerprint)
    folder = _cache_path(cache, "tokens", identity)
    there = folder.exists()   # before it is looked at: another run may be making it just now
    if flaw := _flaw(folder, identity):
        if there:
            print(f"the token store {folder} is damaged ({flaw}); making it again", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
        with _writing_in(folder.parent):
            _write_store(folder, sources, tokenizer, errors, identity, workers)
    dtype = token_dtype(tokenizer.vocab_size)
    read = lambda name, dtype: np.memmap(folder / name, dtype, "r")
    return TokenStore(read("tokens.bin", dtype), read("lines.bin", np.int64), read("documents.bin", np.int64),
                      np.fromfile(folder / "unigram.bin", np.int64))


def _flaw(folder: Path, identity: dict[str, object]) -> str | None:
    """Why a folder is not the whole store of `identity`; None where it is. Reads all of it, a second for two gigabytes."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta["identity"] != identity:
            return "meta.json is not of this corpus and tokenizer"
        for name in STORE_FILES:
            if (folder / name).stat().st_size != meta["sizes"][name]:
                return f"{name} has lost its end"
            if _crc32(folder / name) != meta["crc32"][name]:
                return f"the checksum of {name} is wrong"
    except OSError as problem:
        return str(problem)
    except (ValueError, KeyError, TypeError):
        return "meta.json is not what was written, or of a version without checksums"
    return None


def _crc32(path: Path) -> str:
    """Of a file, in hexadecimal. Enough against a disk; nobody forges a cache."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"


def _write_store(folder: Path, sources: list[Source], tokenizer: Tokenizer, errors: str,
                 identity: dict[str, object], workers: int | None) -> None:
    total = sum(source.size for source in sources)
    if workers is None:
        workers = (os.cpu_count() or 1) if total > SMALL_BYTES else 1
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        unigram = np.zeros(tokenizer.vocab_size, np.int64)
        tokens, lines, documents, pending = 0, 0, 0, False
        with (open(temporary / "tokens.bin", "wb") as token_file, open(temporary / "lines.bin", "wb") as line_file,
              open(temporary / "documents.bin", "wb") as document_file,
              tqdm(total=total, unit="B", unit_scale=True, desc="tokenising", disable=None) as bar):
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
                tokens, lines, documents = tokens + len(part.tokens), lines + len(opens), documents + int(opens.sum())
            document_file.write(np.array([lines], np.int64).tobytes())
        if not tokens:
            raise ValueError(f"the corpus {sources[0].path}{' …' if len(sources) > 1 else ''} has no text")
        unigram.tofile(temporary / "unigram.bin")
        (temporary / "meta.json").write_text(json.dumps(
            {"identity": identity, "tokens": tokens, "lines": lines, "documents": documents,
             "sizes": {name: (temporary / name).stat().st_size for name in STORE_FILES},
             "crc32": {name: _crc32(temporary / name) for name in STORE_FILES}}, indent=1))
        try:
            os.rename(temporary, folder)
        except OSError:
            if _flaw(folder, identity):   # another run may have been faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class Text(NamedTuple):
    """Documents of a store: those to train on, or those held out."""

    tokens: np.ndarray   # (n_tokens,) of the whole store
    lines: np.ndarray    # (n_lines + 1,) int64 into tokens, of the whole store
    starts: np.ndarray   # (n_documents,) int64 into tokens
    ends: np.ndarray     # (n_documents,) int64 into tokens

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
    held[np.random.default_rng(0).permutation(count)[:max(1, round(count * share), min(5, count // 10))]] = True
    pick = lambda where: text._replace(starts=text.starts[where], ends=text.ends[where])
    return pick(~held), pick(held)
