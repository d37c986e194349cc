"""Atomic writes, checksums of files, and text that is safe to store and to print."""

from __future__ import annotations

import codecs
import io
import json
import os
import select
import typing
import zlib
from pathlib import Path

LONGEST_MESSAGE = 2_000  # characters
READ_BYTES = 1 << 22  # what a checksum reads at a time
# What an output that has only ASCII or Latin-1 shows for the signs in the programs' messages.
SPELLED_OUT = {"…": "...", "×": "x", "±": "+-", "→": "->", "·": "-", "–": "-", "▁": "_"}


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file and the folder it needs. A reader sees the old file or the whole new one.

    Raises OSError where it cannot be written; then nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def crc32_of(path: Path) -> str:
    """The CRC-32 of a file as eight hexadecimal digits. It finds damage, not forgery."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(READ_BYTES):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can write a text. JSON can spell half a surrogate pair, which it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def one_line(message: object) -> str:
    """A message as one printable line; one over `LONGEST_MESSAGE` characters loses its middle.

    Line ends and control characters, which a file name may contain, are escaped.
    """
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(message))
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = LONGEST_MESSAGE // 2
    return f"{line[:half]} … {line[-half:]}"


# ---------------------------------------------------------------- standard output


class LastingOutput(io.FileIO):
    """The raw end of an output stream. It drops what cannot be written, and never raises.

    The reader may be gone, the terminal closed or the disk full. Later output is tried again.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: typing.Any) -> int:
        """Returns how many bytes the stream is done with."""
        poll = select.poll()
        poll.register(self, select.POLLOUT)
        try:
            while (written := super().write(data)) is None:  # full, and set not to block
                poll.poll()
            return written
        except OSError:
            return len(data)


def lasting(stream: typing.TextIO | None) -> typing.TextIO:
    """The same output as a stream that drops what cannot be written.

    None, which Python has for a closed output, becomes a stream to nowhere. A stream that has no
    file stays as it is.
    """
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    try:
        raw = LastingOutput(stream.fileno())
    except (OSError, ValueError):  # io.UnsupportedOperation is both: of a stream in memory
        return stream
    assert isinstance(stream, io.TextIOWrapper)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        stream.encoding,
        stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )


def write_any_text(stream: typing.TextIO) -> None:
    """Let a stream write every text, whatever its encoding lacks: see `spell_out`."""
    codecs.register_error("spell_out", spell_out)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="spell_out")


def spell_out(problem: UnicodeError) -> tuple[str | bytes, int]:
    """(what to write for one character that the encoding lacks, where to go on).

    It is a simple sign from `SPELLED_OUT`, or as JSON escapes it. A byte of a file name that Python
    could not decode in a POSIX locale is that byte.
    """
    assert isinstance(problem, UnicodeEncodeError)
    char, after = problem.object[problem.start], problem.start + 1
    if "\udc80" <= char <= "\udcff" and problem.encoding == "ascii":
        return bytes([ord(char) - 0xDC00]), after
    return SPELLED_OUT.get(char) or json.dumps(char)[1:-1], after


def is_utf8(stream: typing.TextIO) -> bool:
    """Whether a stream writes UTF-8; one in memory takes every text, too."""
    return codecs.lookup(stream.encoding or "utf-8").name == "utf-8"
