"""Texts in records: JSON lines, an array of JSON objects, a column of a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator

from electra.data.text_files import HEAD, LONGEST_LINE, TextFile, decoded_blocks, decoded_lines

DEFAULT_FIELD = "text"
MOST_LISTED = 12  # names in a message
SPACE = re.compile(r"\s*")
DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_json_lines(text: TextFile, errors: str, field: str | None) -> Iterator[str]:
    """The text of each line's object. Raises ValueError naming the line of another one."""
    for number, line in enumerate(decoded_lines(text, errors), 1):
        if not line.strip():
            continue
        where = f"{text.name}: line {number}"
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):  # ValueError: also a number with thousands of digits
            raise ValueError(f"{where} is not JSON; expected an object a line") from None
        yield _text_of(values, field, where)


def read_json_array(text: TextFile, errors: str, field: str | None) -> Iterator[str]:
    """The text of each object of an array, one in memory at a time.

    Raises ValueError naming the item, counted from 1, that is no object with such a text.
    """
    array = _JsonArray(decoded_blocks(text, errors))
    array.take("[")
    number, more = 0, not array.take("]")
    while more:
        number += 1
        where = f"{text.name}: item {number} of the array"
        try:
            values = array.take_object()
        except ValueError as problem:
            raise ValueError(f"{where} {problem}") from None
        yield _text_of(values, field, where)
        more = array.take(",")
        if not more and not array.take("]"):
            raise ValueError(f"{where} is followed by neither a comma nor the array's end")
    if array.next_character():
        raise ValueError(f"{text.name}: there is more behind the array of {number:,} items")


class _JsonArray:
    """The blocks of a text, taken apart from the beginning."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self.blocks, self.buffer, self.at = blocks, "", 0
        self.decode = json.JSONDecoder().raw_decode

    def next_character(self) -> str:
        """The next one that is not white space; empty at the end."""
        while True:
            self.at = SPACE.match(self.buffer, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._read_block():
                return ""

    def take(self, character: str) -> bool:
        """Go past this character, where it is the next one."""
        found = self.next_character() == character
        self.at += found
        return found

    def take_object(self) -> object:
        """The next value. Raises ValueError, with what is wrong, where it is no object."""
        if self.next_character() != "{":
            raise ValueError("is not an object")
        while True:
            try:
                value, self.at = self.decode(self.buffer, self.at)
                return value
            except (ValueError, RecursionError):
                if len(self.buffer) - self.at > LONGEST_LINE:
                    problem = f"is not JSON, or is longer than {LONGEST_LINE:,} characters"
                    raise ValueError(problem) from None
                if not self._read_block():
                    raise ValueError("is not JSON") from None

    def _read_block(self) -> bool:
        block = next(self.blocks, "")
        self.buffer, self.at = self.buffer[self.at :] + block, 0
        return bool(block)


def _text_of(values: object, field: str | None, where: str) -> str:
    """The text of a JSON object. Raises ValueError that begins with `where`."""
    name = field or DEFAULT_FIELD
    if not isinstance(values, dict) or not isinstance(values.get(name), str):
        others = values if isinstance(values, dict) else {}
        names = _listed(key for key, value in others.items() if isinstance(value, str))
        hint = f"; name another one with --text-field: {names}" if names else ""
        raise ValueError(f'{where} has no "{name}" that is a string{hint}')
    # JSON can spell half a surrogate pair, which UTF-8 cannot write.
    return values[name].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _listed(names: Iterable[str]) -> str:
    """Names for a message: at most `MOST_LISTED` of them, none longer than a screen."""
    names = [name[:80] for name in names]
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


def read_column(text: TextFile, errors: str, field: str | None) -> Iterator[str]:
    """The cells below a header's `field` in a .csv or .tsv. A cell may span lines within quotes.

    Raises ValueError where no field is given, where the header lacks it, and naming the line where
    quotes are broken or there are more or fewer cells than in the header.
    """
    rows = _rows(text, errors)
    number, header = next(rows, (1, []))
    if header and (field is None or field not in header):
        lacks = "has columns" if field is None else f'has no column "{field}"'
        raise ValueError(
            f"{text.name} {lacks}; name the one with the text with --text-field: {_listed(header)}"
        )
    for number, row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"{text.name}: line {number} has {len(row)} cells, the header {len(header)}"
            )
        yield row[header.index(field or "")]


def _rows(text: TextFile, errors: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its first line, cells) of each row that is not blank."""
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_LINE))
    delimiter = DELIMITERS[text.ending]
    quoted = text.ending == ".csv" or _has_quotes(text, delimiter)
    lines = decoded_lines(text, errors)
    # Without `strict` a quote that is never closed makes one cell of the rest of the file.
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    number = 1
    try:
        for row in reader:
            if row:
                yield number, row
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{text.name}: line {number} is not valid CSV ({error}); a quote inside a quoted cell "
            f"is doubled"
        ) from None


def _has_quotes(text: TextFile, delimiter: str) -> bool:
    """Whether a .tsv has quotes around cells, as its first rows tell; else a " is a character."""
    lines = text.start.splitlines(keepends=True)
    if len(text.head) >= HEAD:  # the last line may be cut
        del lines[-1:]
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    widths: set[int] = set()
    several_lines, before = False, 0
    try:
        for row in reader:
            widths.add(len(row))
            several_lines |= reader.line_num > before + 1
            before = reader.line_num
    except csv.Error as error:  # the last row may be cut within quotes
        return "unexpected end" in str(error) and several_lines and len(widths) == 1
    return len(widths) <= 1
