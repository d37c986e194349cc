"""Readers of raw text: from the files of a corpus to lines, each marked where a document begins.

To add a format: let `file_kinds.kind_of` tell it, write a reader here or in `records.py`, and give
it a row in `READERS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from itertools import chain, islice
from typing import NamedTuple

from electra.data.archive_texts import member_texts
from electra.data.file_kinds import (
    CSV,
    DOCUMENT,
    JSON_ARRAY,
    JSON_LINES,
    TAR,
    TEXT,
    WIKI_DOCUMENT,
    WIKIEXTRACTOR,
    ZIP,
    is_markup,
    kind_of,
)
from electra.data.records import read_column, read_json_array, read_json_lines
from electra.data.sources import (
    ADDRESSES,
    ADDRESSES_NAME,
    WANTED_NAMES,
    ReadingReport,
    Source,
)
from electra.data.text_files import LONGEST_LINE, TextFile, decoded_lines, open_source

TITLE = re.compile(r"= [^=].* =|= [^=\s] =")
TITLE_LINES = 1_000  # among so many first lines a title is looked for
MOST_HELD = 2 * LONGEST_LINE  # characters of them
MANY_LINES = 1_000  # a named file of more lines is rarely meant as one document
BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


class Line(NamedTuple):
    """A line of text that is not blank, without white space around it."""

    text: str
    opens: bool  # whether it is the first line of a document


class Reading(NamedTuple):
    """How a corpus is read, and what is noted meanwhile."""

    errors: str  # of `bytes.decode`
    text_field: str | None  # the text of a JSON object, the column of a table
    report: ReadingReport


def read_lines(
    source: Source,
    errors: str = "strict",
    text_field: str | None = None,
    report: ReadingReport | None = None,
) -> Iterator[Line]:
    """The lines of a file that hold text. `<br />` ends a line, too.

    `errors` is that of `bytes.decode`, `text_field` the name of a JSON object's text ("text" where
    it is None) and of a table's column. Raises ValueError naming the file, and the line or the
    offset in bytes, for what cannot be read or is not text.
    """
    reading = Reading(errors, text_field, report or ReadingReport())
    with open_source(source, reading.report) as text:
        kind = kind_of(text)
        if kind in (TAR, ZIP):
            yield from _read_archive(source, text, kind, reading)
        else:
            yield from _read(text, kind, reading)


def refuse_unreadable(sources: list[Source], text_field: str | None) -> None:
    """Raise the ValueError of `read_lines` for a file that was named and plainly is not text.

    So a long corpus is not read in vain before it. The files of folders are not opened for that.
    """
    for source in (source for source in sources if not source.is_document):
        with open_source(source) as text:
            if kind_of(text) == CSV:
                next(read_column(text, "replace", text_field), None)


def _read(text: TextFile, kind: str, reading: Reading) -> Iterator[Line]:
    """The lines of an open text. The report notes what it was."""
    report = reading.report
    if text.is_document and _is_addresses(text):
        report.left_out[ADDRESSES] += 1
        return
    report.files += 1
    report.markup += is_markup(text)
    yield from READERS[kind](text, reading)
    report.text_bytes += text.stream.tell()


def _is_addresses(text: TextFile) -> bool:
    """Whether it is a list of addresses, which stands beside the reviews of aclImdb."""
    named = ADDRESSES_NAME.fullmatch(text.file_name)
    return named is not None and text.start.startswith(("http:", "https:"))


# ---------------------------------------------------------------- plain text


def _read_text(text: TextFile, reading: Reading) -> Iterator[Line]:
    """WikiText where there are titles; else documents with blank lines between them."""
    all_lines = decoded_lines(text, reading.errors)
    first = _first_lines(all_lines)
    titles = any(TITLE.fullmatch(line.strip()) for line in first)
    opens, lines, documents = True, 0, 0
    for line in chain(first, all_lines):
        line = line.strip()
        lines += 1
        if titles and TITLE.fullmatch(line):
            documents += 1
            yield Line(line, True)
            opens = False
            continue
        if not line and not titles:
            opens = True
        for part in _split_breaks(line):
            documents += opens
            yield Line(part, opens)
            opens = False
    reading.report.undivided += documents == 1 and lines > MANY_LINES


def _first_lines(lines: Iterator[str]) -> list[str]:
    """The lines up to the first ` = Title = `, or so many that there is none to be expected.

    With a title it is WikiText, where blank lines mean nothing.
    """
    first, size = [], 0
    for line in islice(lines, TITLE_LINES):
        first.append(line)
        size += len(line)
        if size > MOST_HELD or TITLE.fullmatch(line.strip()):
            break
    return first


def _read_document(text: TextFile, reading: Reading) -> Iterator[Line]:
    """A file that is one document, blank lines and all."""
    opens = True
    for line in decoded_lines(text, reading.errors):
        for part in _split_breaks(line):
            yield Line(part, opens)
            opens = False


def _read_wikiextractor(text: TextFile, reading: Reading) -> Iterator[Line]:
    """Documents between `<doc id="12" url="…" title="…">` and `</doc>`, each on a line."""
    opens = True
    for line in decoded_lines(text, reading.errors):
        line = line.strip()
        if line == "</doc>" or WIKI_DOCUMENT.fullmatch(line):
            opens = True
            continue
        for part in _split_breaks(line):
            yield Line(part, opens)
            opens = False


def _split_breaks(text: str) -> Iterator[str]:
    """The lines of a text without the white space around them, blank ones left out."""
    if "<" in text:
        text = BREAK.sub("\n", text)
    for part in text.split("\n"):
        if part := part.strip():
            yield part


# ---------------------------------------------------------------- records


def _read_records(
    read: Callable[[TextFile, str, str | None], Iterator[str]],
) -> Callable[[TextFile, Reading], Iterator[Line]]:
    """A reader of lines from a reader of texts, each of which is a document."""

    def read_documents(text: TextFile, reading: Reading) -> Iterator[Line]:
        for document in read(text, reading.errors, reading.text_field):
            opens = True
            for part in _split_breaks(document):
                yield Line(part, opens)
                opens = False

    return read_documents


# The kind of a file -> its reader.
READERS: dict[str, Callable[[TextFile, Reading], Iterator[Line]]] = {
    TEXT: _read_text,  # a file that was named or matched a glob
    DOCUMENT: _read_document,  # a .txt of a folder or an archive
    WIKIEXTRACTOR: _read_wikiextractor,
    JSON_LINES: _read_records(read_json_lines),
    JSON_ARRAY: _read_records(read_json_array),
    CSV: _read_records(read_column),
}


# ---------------------------------------------------------------- archives


def _read_archive(source: Source, archive: TextFile, kind: str, reading: Reading) -> Iterator[Line]:
    """The texts of an archive in its order, chosen as those of a folder.

    Whether there is a .txt is known at its end; only without one is it read again. Raises
    ValueError where there is no text.
    """
    found = yield from _read_members(archive, kind, WANTED_NAMES[0], reading)
    if not found:
        with open_source(source) as again:
            found = yield from _read_members(again, kind, WANTED_NAMES[1], reading)
    if not found:
        raise ValueError(
            f"{archive.name} is an archive, or a document of an office program, without a .txt, "
            f".jsonl or .raw in it; save its texts as plain .txt"
        )


def _read_members(
    archive: TextFile, kind: str, wanted: re.Pattern[str], reading: Reading
) -> Generator[Line, None, bool]:
    """The texts of members with a wanted name. Returns whether there is one."""
    left_out: Counter[str] = Counter()
    found = False
    for text in member_texts(archive, kind, wanted, left_out):
        found = True
        yield from _read(text, kind_of(text), reading)
    if found:
        reading.report.left_out += left_out
    return found
