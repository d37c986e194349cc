"""Files that are there whole or not at all, their checksums, and text that is safe to print."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

LONGEST_MESSAGE = 2_000  # characters


def write_atomically(path: Path, data: bytes) -> None:
    """Write a small file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def crc32_of(path: Path) -> str:
    """Of a file, in hexadecimal. Enough against a disk; nobody forges a cache."""
    crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}"


def one_line(message: object) -> str:
    """A message as one printable line of at most `LONGEST_MESSAGE` characters and an ellipsis.

    Line ends and whatever else acts on a terminal, as the name of a file may hold it, are escaped.
    """
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(message))
    if len(line) <= LONGEST_MESSAGE:
        return line
    half = LONGEST_MESSAGE // 2
    return f"{line[:half]} … {line[-half:]}"
