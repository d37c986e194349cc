"""Opening a text: a file or a member of an archive, unpacked and decoded.

Every reader of a corpus takes its lines or blocks from here, so that all of them bound a line and
name the place of a byte that is no text in the same way.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import functools
import gzip
import io
import lzma
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from electra.data.archives import ALWAYS_ALLOWED, DAMAGED, MAX_RATIO, Allowance, TooLargeError
from electra.data.sources import ReadingReport, Source

# Bytes. A longer line is a file in another format, and would not fit in memory twice.
LONGEST_LINE = 10_000_000
HEAD = 1 << 16  # bytes that are looked at before a file is read
BLOCK = 1 << 20  # bytes

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
PACKED_SIGNATURES = {b"\x1f\x8b\x08": ".gz", b"\xfd7zXZ\0": ".xz", b"BZh": ".bz2"}
BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")  # after "BZh" and a digit; the second: it is empty
ZIP_SIGNATURES = (b"PK\3\4", b"PK\5\6")

# Byte-order marks. That of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class UnreadableError(ValueError):
    """A file that is damaged, or too large once it is unpacked. The message names it."""


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """What is wrong with packed bytes that are read inside is an `UnreadableError` with `name`."""
    try:
        yield
    except UnreadableError:  # of a stream below
        raise
    except TooLargeError:
        problem: object = f"it unpacks to more than {MAX_RATIO} times its size, as no text does"
    except MemoryError:  # an .xz says how much memory it takes
        problem = "there is not enough memory to unpack it"
    except (*DAMAGED, OSError) as error:
        problem = str(error) or type(error).__name__
    else:
        return
    raise UnreadableError(f"cannot read {name}: {problem}")


class _Unpacked(io.RawIOBase):
    """The bytes of a stream that may be damaged. What is wrong raises ValueError with its name."""

    def __init__(self, stream: IO[bytes], name: str, allowance: Allowance | None) -> None:
        self.stream, self.name, self.allowance = stream, name, allowance
        self.position = 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        with naming(self.name):
            data = self.stream.read(len(buffer))
            if self.allowance is not None:
                self.allowance.spend(len(data))
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


def guarded(
    stream: IO[bytes], name: str, allowance: Allowance | None = None
) -> io.BufferedReader[Any]:
    """A stream to be read onwards, with the errors of `naming`, no further than is allowed."""
    return io.BufferedReader(_Unpacked(stream, name, allowance), HEAD)


@dataclass
class TextFile:
    """A file or a member of an archive, open at its beginning."""

    name: str  # in messages
    path: Path  # of the file, or of the archive that it is a member of
    file_name: str  # in lower case, without the ending that says how it is packed
    ending: str  # of that name, such as ".csv"
    is_document: bool  # as of a `Source`
    stream: io.BufferedReader[Any]  # its unpacked bytes
    packed: bool
    head: bytes  # the first bytes; they are still to be read
    encoding: str = "utf-8"

    @functools.cached_property
    def start(self) -> str:
        """What `head` says, without white space in front of it. Its last line may be cut."""
        return self.head.decode(self.encoding, "ignore").removeprefix("\ufeff").lstrip()


@contextlib.contextmanager
def open_source(source: Source, report: ReadingReport | None = None) -> Iterator[TextFile]:
    """Open a file of a corpus. The report learns how far it has been read."""
    path, report = source.path, report or ReadingReport()
    try:
        with open(path, "rb", HEAD) as file:
            report.position = file.tell
            yield open_text(cast(io.BufferedReader, file), str(path), path, source.is_document)
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror or problem}") from None
    finally:
        report.position = int
        report.finished_bytes += source.size


def open_text(
    stream: io.BufferedReader[Any],
    name: str,
    path: Path,
    is_document: bool,
    member: str | None = None,
    allowance: Allowance | None = None,
) -> TextFile:
    """A text of the bytes of a stream, which are unpacked as the first ones or its name say.

    member: its name within the archive at `path`. allowance: what it may unpack to.
    """
    file_name = os.path.basename(path if member is None else member).lower()
    ending = os.path.splitext(file_name)[1]
    packing = packing_of(stream.peek(1)) or (ending if ending in OPENERS else "")
    if packing:
        stream = guarded(OPENERS[packing](stream, "rb"), name, allowance)
        file_name = file_name.removesuffix(packing)
        ending = os.path.splitext(file_name)[1]
    head = stream.peek(1)
    text = TextFile(name, path, file_name, ending, is_document, stream, bool(packing), head)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            text.encoding = encoding
            break
    return text


def packing_of(head: bytes) -> str:
    """The ending, of `OPENERS`, of what a file is packed with by its first bytes; else empty."""
    if not head.startswith(tuple(PACKED_SIGNATURES)):
        return ""
    ending = next(end for sign, end in PACKED_SIGNATURES.items() if head.startswith(sign))
    return "" if ending == ".bz2" and not head[4:].startswith(BZIP2_BLOCKS) else ending


def is_packed(source: Source) -> bool:
    """Whether a file is much larger unpacked, by its first bytes or its name."""
    if source.path.suffix.lower() in OPENERS:
        return True
    if source.is_document:  # there may be a million: none is opened
        return False
    with contextlib.suppress(OSError), open(source.path, "rb") as file:
        head = file.read(16)
        return bool(packing_of(head)) or head.startswith(ZIP_SIGNATURES)
    return False


def allowance_of(path: Path) -> Allowance:
    """What an archive may unpack to."""
    return Allowance(max(ALWAYS_ALLOWED, MAX_RATIO * os.path.getsize(path)))


# ---------------------------------------------------------------- decoding


def decoded_lines(text: TextFile, errors: str) -> Iterator[str]:
    """All lines of a text with their ends, blank ones too. A byte-order mark is not part of it.

    `errors` is that of `bytes.decode`. Raises ValueError naming the text, and the line or the
    offset in bytes, for what cannot be read.
    """
    if text.encoding != "utf-8":
        yield from _lines_of_blocks(text, errors)
        return
    offset, number = 0, 0
    while raw := text.stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            _refuse_line(text, number)
        if b"\0" in raw:
            raw = _without_nul(text, raw, offset, errors)
        try:
            line = raw.decode("utf-8", errors)
        except UnicodeDecodeError as problem:
            _refuse_byte(text, offset + problem.start)
        offset += len(raw)
        yield line.removeprefix("\ufeff") if number == 1 else line


def decoded_blocks(text: TextFile, errors: str) -> Iterator[str]:
    """The text in pieces of about `BLOCK` bytes, cut anywhere. Otherwise as `decoded_lines`."""
    decoder = codecs.getincrementaldecoder(text.encoding)(errors)
    offset, first, more = 0, True, True
    while more:
        data = text.stream.read(BLOCK)
        pending, more = len(decoder.getstate()[0]), bool(data)
        try:
            block = decoder.decode(data, final=not more)
        except UnicodeDecodeError as problem:
            _refuse_byte(text, offset - pending + problem.start)
        if "\0" in block:
            before = len(block[: block.index("\0")].encode(text.encoding, "replace"))
            if errors == "strict":
                refuse_nul(text, offset - pending + before)
            block = block.replace("\0", "\ufffd")
        offset += len(data)
        if first and block:
            first, block = False, block.removeprefix("\ufeff")
        if block:
            yield block


def _lines_of_blocks(text: TextFile, errors: str) -> Iterator[str]:
    rest, number = "", 0
    for block in decoded_blocks(text, errors):
        *whole, rest = (rest + block).split("\n")
        for line in whole:
            number += 1
            if len(line) >= LONGEST_LINE:
                _refuse_line(text, number)
            yield line + "\n"
        if len(rest) > LONGEST_LINE:
            _refuse_line(text, number + 1)
    if rest:
        yield rest


def _without_nul(text: TextFile, raw: bytes, offset: int, errors: str) -> bytes:
    if errors == "strict":
        refuse_nul(text, offset + raw.index(b"\0"))
    return raw.replace(b"\0", "\ufffd".encode())


def _refuse_line(text: TextFile, number: int) -> NoReturn:
    raise ValueError(
        f"{text.name}: line {number} is longer than {LONGEST_LINE:,} bytes; is it text with line "
        f"ends?"
    )


def _refuse_byte(text: TextFile, offset: int) -> NoReturn:
    raise ValueError(
        f"{text.name}: the byte at offset {offset} is not {text.encoding.upper()}; convert the "
        f"file, or go on with --errors replace"
    )


def refuse_nul(text: TextFile, offset: int) -> NoReturn:
    """Raises ValueError for a NUL character at an offset in bytes, with what it probably means."""
    encoding = unmarked_encoding(text.head) if text.encoding == "utf-8" else None
    if encoding:
        raise ValueError(
            f"{text.name}: the byte at offset {offset} is NUL; the file looks like "
            f"{encoding[:6]} without a byte-order mark: convert it, as by "
            f"iconv -f {encoding} -t UTF-8"
        )
    raise ValueError(
        f"{text.name}: the byte at offset {offset} is NUL, which no text has; convert or clean the "
        f"file, or go on with --errors replace"
    )


def unmarked_encoding(head: bytes) -> str | None:
    """UTF-16LE, UTF-16BE, UTF-32LE or UTF-32BE where Latin text in it has NUL bytes; else None."""
    shares = [head[i::4].count(0) / max(1, len(head) // 4) for i in range(4)]
    high = [share > 0.5 for share in shares]
    found = {
        (False, True, True, True): "UTF-32LE",
        (True, True, True, False): "UTF-32BE",
        (False, True, False, True): "UTF-16LE",
        (True, False, True, False): "UTF-16BE",
    }
    return found.get((high[0], high[1], high[2], high[3]))
