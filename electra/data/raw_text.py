"""Readers of raw text: from the files of a corpus to lines, each marked where a document begins.

To add a format: write a reader beside `_read_json_lines`, give it a row in `READERS`, and let
`_kind_of` say which files it reads.
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
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

# Bytes. A longer line is a file in another format, and would not fit in memory twice.
LONGEST_LINE = 10_000_000
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
TITLE = re.compile(r"= [^=].* =|= [^=\s] =")
TITLE_LINES = 1_000  # among so many first lines a title is looked for
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


class Source(NamedTuple):
    """One file of a corpus."""

    path: Path
    kind: str  # of `READERS`
    size: int  # bytes
    mtime_ns: int


class Line(NamedTuple):
    """A line of text that is not blank, without white space around it."""

    text: str
    opens: bool  # whether it is the first line of a document


def find_sources(patterns: tuple[str, ...]) -> list[Source]:
    """The files of a corpus that is given as files, folders and globs.

    The files of one pattern are sorted; the patterns keep their order. A folder stands for the
    .txt files in it, however deep. Raises ValueError naming what is missing or cannot be read.
    """
    sources = []
    for pattern in patterns:
        paths = [Path(pattern)]
        if not paths[0].exists():
            paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
        if not paths:
            raise ValueError(f"no such corpus: {pattern}")
        for path in paths:
            sources += _sources_of_folder(path) if path.is_dir() else [_source(path)]
    return sources


def _sources_of_folder(folder: Path) -> list[Source]:
    paths = sorted(folder.rglob("*.txt"))
    if not paths:
        raise ValueError(
            f"the folder {folder} has no .txt file; name the files themselves, or a glob"
        )
    return [_source(path, "document") for path in paths]


def _kind_of(path: Path) -> str:
    """The reader of a file that was named or matched a glob. Compression is not part of it."""
    stem = path.with_suffix("") if path.suffix in OPENERS else path
    return "jsonl" if stem.suffix == ".jsonl" else "text"


def _source(path: Path, kind: str | None = None) -> Source:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for, a device never ends
            raise ValueError(f"cannot read {path}: not a file")
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "permission denied")
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return Source(path, kind or _kind_of(path), facts.st_size, facts.st_mtime_ns)


def read_lines(source: Source, errors: str = "strict") -> Iterator[Line]:
    """The lines of a file that hold text. `<br />` ends a line, too.

    `errors` is that of `bytes.decode`. Raises ValueError naming the file, and the line or the
    offset in bytes, for what cannot be read.
    """
    yield from READERS[source.kind](source, errors)


def _read_text(source: Source, errors: str) -> Iterator[Line]:
    """WikiText where there are titles; else documents with blank lines between them."""
    titles = _has_titles(source, errors)
    opens = True
    for line in _decoded_lines(source, errors):
        line = line.strip()
        if titles and TITLE.fullmatch(line):
            yield Line(line, True)
            opens = False
            continue
        if not line and not titles:
            opens = True
        for part in _split_breaks(line):
            yield Line(part, opens)
            opens = False


def _has_titles(source: Source, errors: str) -> bool:
    """Whether ` = Title = ` is among the first lines: WikiText, where blank lines mean nothing."""
    first = islice(_decoded_lines(source, errors), TITLE_LINES)
    return any(TITLE.fullmatch(line.strip()) for line in first)


def _read_document(source: Source, errors: str) -> Iterator[Line]:
    """A file that is one document, blank lines and all."""
    opens = True
    for line in _decoded_lines(source, errors):
        for part in _split_breaks(line):
            yield Line(part, opens)
            opens = False


def _read_json_lines(source: Source, errors: str) -> Iterator[Line]:
    """A JSON object a line; its "text" is one document."""
    for number, line in enumerate(_decoded_lines(source, errors), 1):
        if not line.strip():
            continue
        opens = True
        for part in _split_breaks(_json_text(line, f"{source.path}: line {number}")):
            yield Line(part, opens)
            opens = False


def _json_text(line: str, where: str) -> str:
    """The "text" of a line's JSON object. Raises ValueError that begins with `where`."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # ValueError: also a number with thousands of digits
        raise ValueError(f"{where} is not JSON") from None
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise ValueError(f'{where} has no "text" that is a string')
    # JSON can spell half a surrogate pair, which UTF-8 cannot write.
    return values["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


# The kind of a source -> its reader. The kind is part of what a cached token store was made from.
READERS: dict[str, Callable[[Source, str], Iterator[Line]]] = {
    "text": _read_text,  # a file that was named or matched a glob
    "document": _read_document,  # a .txt of a folder
    "jsonl": _read_json_lines,
}


def _split_breaks(text: str) -> Iterator[str]:
    """The lines of a text without the white space around them, blank ones left out."""
    if "<" in text:
        text = BREAK.sub("\n", text)
    for part in text.split("\n"):
        if part := part.strip():
            yield part


def _decoded_lines(source: Source, errors: str) -> Iterator[str]:
    """All lines of a file, blank ones too. A byte-order mark is not part of the first."""
    path, offset = source.path, 0
    for number, raw in enumerate(_byte_lines(path), 1):
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


def _byte_lines(path: Path) -> Iterator[bytes]:
    """The unpacked lines of a file; of one that is too long, a first part that is too long."""
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            while raw := file.readline(LONGEST_LINE + 1):
                yield raw
    except (EOFError, lzma.LZMAError, zlib.error, OSError) as problem:
        raise ValueError(f"cannot read {path}: {problem}") from None
    except MemoryError:  # an .xz says how much memory it takes
        raise ValueError(f"cannot read {path}: there is not enough memory to unpack it") from None
