"""Atomic writes, checksums of files, and text that is safe to store and to print."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

LONGEST_MESSAGE = 2_000  # characters
READ_BYTES = 1 << 22  # what a checksum reads at a time


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
