"""Whole texts of files, folders and globs, for a model to label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from electra.data.file_kinds import TEXT, kind_of
from electra.data.raw_text import Line, read_lines, refuse_unreadable
from electra.data.sources import Source, find_sources
from electra.data.text_files import open_source


def read_texts(patterns: tuple[str, ...], text_field: str | None = None) -> Iterator[str]:
    """The texts of files, folders and globs, in the order of `find_sources`.

    One text is a .txt of a folder or an archive, the text of a JSON object, a cell of a table's
    column, and in a plain text file that was named a line; where blank lines part such a file, all
    that stands between two of them. `text_field` and the errors raised are those of `read_lines`.
    """
    sources = find_sources(patterns)
    refuse_unreadable(sources, text_field)
    for source in sources:
        documents = _documents(read_lines(source, text_field=text_field))
        if _is_plain(source):
            documents = _one_a_line(documents)
        for lines in documents:
            yield "\n".join(lines)


def _is_plain(source: Source) -> bool:
    with open_source(source) as text:
        return kind_of(text) == TEXT


def _documents(lines: Iterable[Line]) -> Iterator[list[str]]:
    """The lines of each document."""
    document: list[str] = []
    for line in lines:
        if line.opens and document:
            yield document
            document = []
        document.append(line.text)
    if document:
        yield document


def _one_a_line(documents: Iterator[list[str]]) -> Iterator[list[str]]:
    """The same documents, but each line of a file that is a single one."""
    first, second = next(documents, None), next(documents, None)
    if first is None:
        return
    if second is None:
        yield from ([line] for line in first)
        return
    yield first
    yield second
    yield from documents
