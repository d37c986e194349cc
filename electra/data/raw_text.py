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
import glob
import gzip
import json
import lzma
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

# Bytes. A longer one is a file in another format, and would not fit in memory twice.
LONGEST_LINE = 10_000_000
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
    opens: bool  # the first of a document


def find_sources(patterns: tuple[str, ...]) -> list[Source]:
    """Files, folders and globs -> files, sorted within each. Raises ValueError naming what is not there."""
    sources = []
    for pattern in patterns:
        path = Path(pattern)
        paths = (
            [path]
            if path.exists()
            else [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
        )
        if not paths:
            raise ValueError(f"no such corpus: {pattern}")
        for path in paths:
            if path.is_dir():
                found = sorted(path.rglob("*.txt"))
                if not found:
                    raise ValueError(
                        f"the folder {path} has no .txt file; name the files themselves, or a glob"
                    )
                sources += [_source(p, "document") for p in found]
            else:
                stem = path.with_suffix("") if path.suffix in OPENERS else path
                sources.append(_source(path, "jsonl" if stem.suffix == ".jsonl" else "text"))
    return sources


def _source(path: Path, kind: str) -> Source:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for, a device never ends
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
                    raise ValueError(
                        f"{path}: line {number} is longer than {LONGEST_LINE:,} bytes; is it text with "
                        f"line ends?"
                    )
                try:
                    line = raw.decode("utf-8", errors)
                except UnicodeDecodeError as problem:
                    raise ValueError(
                        f"{path}: the byte at offset {offset + problem.start} is not UTF-8; convert the "
                        f"file, or go on with --errors replace"
                    ) from None
                offset += len(raw)
                yield line.removeprefix("\ufeff") if number == 1 else line
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as problem:
        raise ValueError(f"cannot read {path}: {problem}") from None
    except MemoryError:  # an .xz says how much it takes
        raise ValueError(f"cannot read {path}: there is not enough memory to unpack it") from None


def _has_titles(source: Source, errors: str) -> bool:
    """Whether the first thousand lines hold a ` = Title = `: WikiText's layout, where blank lines mean nothing."""
    return any(
        TITLE.fullmatch(line.strip()) for line, _ in zip(_raw_lines(source, errors), range(1000))
    )


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
                values = json.loads(line)
            except (ValueError, RecursionError):  # also of a number with thousands of digits
                raise ValueError(f"{source.path}: line {number} is not JSON") from None
            if not isinstance(values, dict) or not isinstance(values.get("text"), str):
                raise ValueError(f'{source.path}: line {number} has no "text" that is a string')
            # Half a surrogate pair has no UTF-8.
            text = values["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
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
