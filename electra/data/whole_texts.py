"""Whole texts of files, folders and globs, for a model to label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from electra.data.file_kinds import TEXT, kind_of
from electra.data.raw_text import BREAK, Line, read_lines, refuse_unreadable
from electra.data.sources import ReadingReport, Source, find_sources
from electra.data.text_files import decoded_lines, open_source

# A plain file with fewer blank lines than one in so many lines has a text a line.
MOST_LINES = 50


def read_texts(
    patterns: tuple[str, ...], text_field: str | None = None, report: ReadingReport | None = None
) -> Iterator[str]:
    """The texts of files, folders and globs, in the order of `find_sources`.

    One text is a .txt of a folder or an archive, the text of a JSON object, a cell of a table's
    column, and in a plain text file that was named a line; where blank lines part such a file, all
    that stands between two of them. `text_field`, `report` and the errors raised are those of
    `read_lines`.
    """
    report = report or ReadingReport()
    sources = find_sources(patterns, report)
    refuse_unreadable(sources, text_field)
    for source in sources:
        if _is_plain(source):
            yield from _plain_texts(source, report)
        else:
            yield from _documents(read_lines(source, text_field=text_field, report=report))


def _is_plain(source: Source) -> bool:
    """Whether it is a plain text file that was named; of a folder each is a document."""
    if source.is_document:
        return False
    with open_source(source) as text:
        return kind_of(text) == TEXT


def _plain_texts(source: Source, report: ReadingReport) -> list[str]:
    """The texts of a plain text file that was named."""
    with open_source(source, report) as text:
        lines = [line.strip() for line in decoded_lines(text, "strict")]
    report.files += 1
    lines = [BREAK.sub("\n", line) for line in lines]
    parted = list(_documents(_as_documents(lines)))
    filled = [line for line in lines if line]
    if len(parted) == 1 or len(filled) > MOST_LINES * len(parted):
        return filled
    return parted


def _as_documents(lines: Iterable[str]) -> Iterator[Line]:
    """The lines that are not blank; one after a blank line opens a document."""
    opens = True
    for line in lines:
        if line:
            yield Line(line, opens)
        opens = not line


def _documents(lines: Iterable[Line]) -> Iterator[str]:
    """The text of each document."""
    document: list[str] = []
    for line in lines:
        if line.opens and document:
            yield "\n".join(document)
            document = []
        document.append(line.text)
    if document:
        yield "\n".join(document)
