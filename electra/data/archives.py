"""The members of tar and zip archives that may be damaged or hostile. Nothing is written here."""

from __future__ import annotations

import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple, cast

CHUNK = 1 << 20  # bytes
# What an archive may unpack to: so many times its own size, or what is little on any disk. Text
# reaches ten times; what is made to fill a disk, a thousand.
MAX_RATIO = 200
ALWAYS_ALLOWED = 1 << 28  # bytes

# What the readers of archives raise for damaged ones; ValueError and IndexError for numbers and
# names that are none, RecursionError for a thousand headers of one member.
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,
    NotImplementedError,
    ValueError,
    IndexError,
    RecursionError,
)
# Kinds of members.
FILE, FOLDER, SPECIAL, ENCRYPTED = "file", "folder", "link or device", "encrypted"


class TooLargeError(Exception):
    """An archive unpacks to more than `Allowance` has."""


class Allowance:
    """How many bytes an archive may still unpack to."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def spend(self, size: int) -> None:
        """Raises TooLargeError where the archive has had more than its limit."""
        self.left -= size
        if self.left < 0:
            raise TooLargeError


class Member(NamedTuple):
    """What an archive holds under a name."""

    name: str  # as the archive spells it, which may be a hostile path
    kind: str  # FILE, FOLDER, SPECIAL or ENCRYPTED
    open: Callable[[], IO[bytes]]  # of a FILE; to be read before the next member is asked for


def zip_members(archive: Path | IO[bytes]) -> Iterator[Member]:
    """The members of a zip file. Raises what is in `DAMAGED`."""
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            yield Member(info.filename, _zip_kind(info), partial(zipped.open, info))


def _zip_kind(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 0: of a system without Unix modes
        return SPECIAL
    if info.flag_bits & 1:
        return ENCRYPTED
    return FOLDER if info.is_dir() else FILE


class _ForwardStream:
    """The bytes of a tar file, as tarfile reads them: onwards alone, and no further than allowed.

    tarfile reads a header at once, however long it claims to be, and skips what is not asked for.
    """

    def __init__(self, stream: IO[bytes], allowance: Allowance) -> None:
        self.stream, self.allowance, self.position = stream, allowance, 0

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        data = self.stream.read(size)
        self.position += len(data)
        self.allowance.spend(len(data))
        return data

    def seek(self, position: int) -> int:
        if position < self.position:
            raise tarfile.ReadError("a member that begins before the one before it ends")
        while self.position < position and self.read(min(CHUNK, position - self.position)):
            pass
        return self.position


def tar_members(stream: IO[bytes], allowance: Allowance) -> Iterator[Member]:
    """The members of a tar file, whose unpacked bytes come from `stream`, in bounded memory.

    Raises what is in `DAMAGED`, and TooLargeError.
    """
    forward = cast(IO[bytes], _ForwardStream(stream, allowance))
    with tarfile.open(fileobj=forward, mode="r:") as tar:
        while (info := tar.next()) is not None:
            tar.members.clear()  # type: ignore[attr-defined]  # tarfile keeps them all
            if info.size < 0:  # tarfile would go back, for ever
                raise tarfile.ReadError(f"a member of {info.size:,} bytes")
            yield Member(info.name, _tar_kind(info), partial(_tar_file, tar, info))
        _check_end(forward)


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.isdir():
        return FOLDER
    return FILE if info.isreg() else SPECIAL


def _tar_file(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(info)
    assert file is not None  # it is a regular file
    return file


def _check_end(stream: IO[bytes]) -> None:
    """Raises tarfile.ReadError where more than zeros follow.

    tarfile takes a damaged header for the end. Reading on also makes the decompressor compare its
    checksum.
    """
    while block := stream.read(CHUNK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("data after the end of the archive")
