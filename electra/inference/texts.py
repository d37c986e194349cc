"""Texts to judge: one a line, or one JSON object a line."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from electra.files import is_encodable


class Record(NamedTuple):
    """One input. `source` says in messages where it is from."""

    source: str
    text: str
    text_b: str | None = None
    question: str | None = None  # about `text`


def given_records(
    texts: list[str], path: Path | None, jsonl: bool, question: str | None = None
) -> Iterator[Record]:
    """The texts of the command line, of a file or of standard input.

    `jsonl`: the lines are JSON objects, whatever the file's name. Raises ValueError as
    `read_records` does, and OSError for a file that cannot be read.
    """
    if texts:
        yield from records_of(texts, question)
    elif path:
        with open(path, "rb") as file:
            yield from read_records(file, str(path), jsonl or path.suffix == ".jsonl", question)
    else:
        if sys.stdin.isatty():
            print(
                "reading texts from standard input, one a line, until its end (Ctrl-D)",
                file=sys.stderr,
            )
        yield from read_records(sys.stdin.buffer, "standard input", jsonl, question)


def records_of(texts: Iterable[str], question: str | None = None) -> Iterator[Record]:
    """Records of the texts of a command line. Raises ValueError as `read_records` does."""
    asked = None if question is None else _as_utf8(question)
    for number, text in enumerate(texts, 1):
        yield _check_text(Record(f"text {number}", _as_utf8(text), None, asked))


def _as_utf8(text: str) -> str:
    """A word of the command line, which Python cannot decode where the locale is POSIX."""
    if is_encodable(text):
        return text
    with contextlib.suppress(UnicodeError):
        return os.fsencode(text).decode()
    return text


def read_records(
    file: BinaryIO, name: str, jsonl: bool, question: str | None = None
) -> Iterator[Record]:
    """A record for every line of a file; blank lines of plain text are texts too.

    With `jsonl` a line is an object with "text" and perhaps "text_b" or "question"; `question` is
    that of all others. Raises ValueError, with
    `name` and the line's number, for a line that cannot be read.
    """
    for number, data in enumerate(file, 1):
        source = f"{name}:{number}"
        try:
            line = data.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as problem:
            raise ValueError(
                f"{source}: byte 0x{problem.object[problem.start]:02x} is not UTF-8; convert the "
                f"file to UTF-8"
            ) from None
        line = line.removesuffix("\n").removesuffix("\r")
        record = _parse_json(source, line) if jsonl else Record(source, line)
        yield _check_text(record if record.question else record._replace(question=question))


def _parse_json(source: str, line: str) -> Record:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # ValueError also for a number of thousands of digits
        raise ValueError(f"{source}: not a JSON object") from None
    if not isinstance(values, dict) or not isinstance(values.get("text"), str):
        raise ValueError(f'{source}: no "text" that is a string')
    if not isinstance(values.get("text_b"), str | None):
        raise ValueError(f'{source}: "text_b" is not a string')
    if not isinstance(values.get("question"), str | None):
        raise ValueError(f'{source}: "question" is not a string')
    return Record(source, values["text"], values.get("text_b"), values.get("question"))


def _check_text(record: Record) -> Record:
    """Raises ValueError for half of a surrogate pair, or bytes of the command line."""
    try:
        (record.text + (record.text_b or "") + (record.question or "")).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{record.source}: characters that UTF-8 cannot write") from None
    return record
