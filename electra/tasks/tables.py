"""Readers of tables: TSV, CSV and JSON lines. Columns are read by name.

Nothing is lost in silence: a line that cannot be read stops the reading with file and line, or it
is counted.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from electra.files import is_encodable

Made = TypeVar("Made")
ENDINGS = (".csv", ".tsv", ".jsonl")
# One field of a CSV may hold a long document; the csv module's own limit is 131,072 characters.
MAX_FIELD_CHARS = 1 << 26
MOST_LISTED = 12


def read_table(
    path: Path,
    columns: Sequence[str],
    make: Callable[..., Made],
    *,
    header: bool | Sequence[str] = True,
    optional: str | None = None,
    kind: str | None = None,
    skip_bad: bool = False,
) -> tuple[list[Made], int]:
    """([make(*strings of `columns`) for each record], how many lines were left out).

    `header` is True where the first line names the columns; False where they are named "1", "2",
    ... and the first line says how many there are; or the names, for a file without a header.
    `optional` is the one of `columns` that a file may lack in all its lines, or have there as
    JSON's null: `make` then gets None for it. `kind` is one of `ENDINGS` where the file's name does
    not end in it.

    A bad line is blank, has more or fewer columns than the header, is not a JSON object, or is one
    for which `make` raises ValueError. With `skip_bad` it is counted, without it ends the reading.

    Raises ValueError for a bad line ("file:line: what"), for a file without a good line, and
    always for a missing file or column, bytes that are not UTF-8, and broken quotes in a CSV,
    since it is not known where the next record begins.
    """
    kind = kind or path.suffix
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if kind not in ENDINGS:
        raise ValueError(f"{path}: the name must end in one of {', '.join(ENDINGS)}")
    lines, parse = _open_table(path, kind, columns, header, optional)

    made: list[Made] = []
    skipped, first_bad = 0, ""
    lacks_optional = False  # as the first good line does
    for number, line in lines:
        try:
            record = parse(line)
            lacks = optional is not None and record.get(optional) is None
            if made and lacks != lacks_optional:
                raise ValueError(_differing_columns(optional, lacks))
            made.append(make(*_values(record, columns, optional if lacks else None)))
            lacks_optional = lacks
        except ValueError as problem:
            message = f"{path}:{number}: {problem}"
            if not skip_bad:
                raise ValueError(f"{message} (--skip-bad leaves such lines out)") from None
            skipped += 1
            first_bad = first_bad or f" that can be read; the first: {message}"
    if not made:
        raise ValueError(f"{path}: no examples in it{first_bad}")
    return made, skipped


def columns_of(path: Path, header: bool | Sequence[str] = True) -> list[str]:
    """The names of a table's columns; of JSON lines those of the first one that can be read.

    Raises ValueError as `read_table` does.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path}: the name must end in one of {', '.join(ENDINGS)}")
    lines, parse = _open_table(path, path.suffix, (), header, None)
    for _, line in lines:
        try:
            return list(parse(line))
        except ValueError:
            continue  # `read_table` says what is wrong with it, or leaves it out
    raise ValueError(f"{path}: no examples in it")


def read_text(path: Path) -> str:
    """A whole UTF-8 file without its byte-order mark. Line ends stay as they are.

    Raises ValueError naming file and line for a byte that is not UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file to UTF-8"
        ) from None


def listed(names: Iterable[str]) -> str:
    """Names for a message: at most `MOST_LISTED` of them, so that it stays one line."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:MOST_LISTED])
    rest = len(names) - MOST_LISTED
    return shown if rest <= 0 else f"{shown} and {rest} more"


def _differing_columns(optional: str | None, lacks: bool) -> str:
    """What is wrong with a line of JSON that differs from the lines before."""
    if lacks:
        return f"no column {optional!r}, which the lines before have"
    return f"has a {optional!r}, the lines before have none; give it to all or none"


def _open_table(
    path: Path,
    kind: str,
    columns: Sequence[str],
    header: bool | Sequence[str],
    optional: str | None,
) -> tuple[Iterator[tuple[int, Any]], Callable[[Any], dict[str, Any]]]:
    """The numbered lines of a table, and a function that makes a record (name -> value) of one."""
    if kind == ".jsonl":
        if header is not True:
            raise ValueError(
                f"{path}: a .jsonl names its columns in every line; only .csv and .tsv can lack "
                f"a header"
            )
        return _text_lines(path), _json_record

    lines = _csv_lines(path) if kind == ".csv" else _tsv_lines(path)
    if isinstance(header, bool):
        first = next(lines, None)
        if first is None:
            raise ValueError(f"{path}: an empty file")
        names = [str(i + 1) for i in range(len(first[1]))]
        if header:
            names = _checked_header(path, first[1])
        else:
            lines = chain([first], lines)
    else:
        names = list(header)
    missing = [column for column in columns if column not in names and column != optional]
    if missing:
        raise ValueError(f"{path}:1: no column {listed(missing)}; the columns are {listed(names)}")
    return lines, partial(_record, names)


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, line) of a text file; of an empty file, none."""
    text = read_text(path)
    # Only \n ends a line: str.splitlines would also break at U+0085 and U+2028, which texts have.
    lines = text.removesuffix("\n").split("\n") if text else []
    for number, line in enumerate(lines, start=1):
        yield number, line.removesuffix("\r")


def _tsv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a tab-separated file without quoting, as GLUE's files are."""
    return ((number, line.split("\t")) for number, line in _text_lines(path))


def _csv_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of the record's first line, fields) of a comma-separated file with quoting."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
    # Without `strict` a quote that is never closed makes one field of the rest of the file.
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    number = 1
    try:
        for fields in reader:
            yield number, fields
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}:{number}: not valid CSV ({error}); a quote inside a quoted field is doubled"
        ) from None


def _checked_header(path: Path, header: list[str]) -> list[str]:
    """The header, which may not name a column twice: one of the two would be lost."""
    if not any(header):
        raise ValueError(f"{path}:1: blank; the first line must name the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}:1: column {listed(twice)} is there twice")
    return header


def _record(names: list[str], fields: list[str]) -> dict[str, Any]:
    """Names to fields. ValueError where there are more or fewer fields, as on a blank line."""
    if len(fields) != len(names):
        if not any(fields):
            raise ValueError("blank line; remove it")
        raise ValueError(
            f"{len(fields)} columns where there should be {len(names)} ({listed(names)})"
        )
    return dict(zip(names, fields, strict=True))


def _json_record(line: str) -> dict[str, Any]:
    """A line's JSON object; its numbers and booleans become strings. ValueError otherwise."""
    if not line.strip():
        raise ValueError("blank line; remove it")
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not a JSON object ({error.msg}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("not a JSON object (nested too deep)") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {type(record).__name__}")
    if not all(is_encodable(value) for value in record.values() if isinstance(value, str)):
        raise ValueError("half a surrogate pair, which is no character and cannot be written")
    # A label may be written 1 or true as well as "1" or "true". (A bool is an int.)
    return {
        key: json.dumps(value) if isinstance(value, (int, float)) else value
        for key, value in record.items()
    }


def _values(
    record: dict[str, Any], columns: Sequence[str], lacking: str | None
) -> list[str | None]:
    """The strings of `columns`, None for the one that the file lacks.

    ValueError for another one that is missing or is not a string.
    """
    missing = [column for column in columns if column not in record and column != lacking]
    if missing:
        raise ValueError(f"no column {listed(missing)}; the columns are {listed(record)}")
    values = [record.get(column) for column in columns]
    for column, value in zip(columns, values, strict=True):
        if column != lacking and not isinstance(value, str):
            raise ValueError(f"{column!r} is {value!r}; expected a string")
    return values
