"""Unpacking archives that may be damaged or hostile."""

from __future__ import annotations

import errno
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, TypeAlias, cast

CHUNK = 1 << 20  # bytes
# What an archive may unpack to: so many times its own size, or what is little on any disk. Text
# reaches ten times; what is made to fill a disk, a thousand.
MAX_RATIO = 200
ALWAYS_ALLOWED = 1 << 28  # bytes
MAX_DEPTH = 64  # folders within folders

# What the readers of archives raise for damaged ones; ValueError and IndexError for numbers and
# names that are none.
_DAMAGED = (
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
)
_TAR_OPENERS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
}
# Name and content of a member, content None for a folder.
Member: TypeAlias = "tuple[str, IO[bytes] | None]"


class UnsafeArchiveError(ValueError):
    """An archive may be sound, but holds what no data set does."""


def unpack(archive: Path, root: Path) -> None:
    """Write an archive's folders and files under `root`, and nothing outside it.

    Data sets need no links and no devices, so any is refused, wherever it points. Raises
    ValueError, naming the member, for those; and for an archive that is damaged, of an unknown
    kind, or holds far more than its size.
    """
    suffixes = (".zip", *_TAR_OPENERS)
    suffix = next((end for end in suffixes if archive.name.lower().endswith(end)), None)
    if suffix is None:
        raise ValueError(f"{archive}: expected a name in .zip, {', '.join(_TAR_OPENERS)}")
    limit = max(ALWAYS_ALLOWED, MAX_RATIO * archive.stat().st_size)
    if suffix == ".zip":
        members = _zip_members(archive)
    else:
        members = _tar_members(archive, _TAR_OPENERS[suffix], limit)

    try:
        _write_members(members, root, archive, limit)
    except UnsafeArchiveError:
        raise
    except (*_DAMAGED, OSError) as error:
        of_the_disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
        if of_the_disk:
            raise
        raise ValueError(f"{archive}: damaged or incomplete ({error}); get it again") from None


def _write_members(members: Iterator[Member], root: Path, archive: Path, limit: int) -> None:
    for name, source in members:
        if name.startswith("__MACOSX/"):  # what the macOS archiver adds: no data
            continue
        path = _safe_path(root, name, archive)
        try:
            if source is None:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            limit -= _write_file(path, source, archive, limit)
        except FileExistsError:
            raise UnsafeArchiveError(f"{archive}: holds {name!r} twice") from None


def _write_file(path: Path, source: IO[bytes], archive: Path, limit: int) -> int:
    """Returns how many bytes were written; stops at the first beyond `limit`."""
    written = 0
    with open(path, "xb") as file:
        while block := source.read(CHUNK):
            written += len(block)
            if written > limit:
                _refuse_size(archive)
            file.write(block)
    return written


def _safe_path(root: Path, name: str, archive: Path) -> Path:
    """`root`/`name`.

    Raises ValueError for a name that is absolute, has a drive, climbs with "..", by either slash,
    or is too deep.
    """
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in name or "\0" in name:
        raise UnsafeArchiveError(
            f"{archive}: member {name!r} would land outside the folder; refused, nothing was "
            f"unpacked"
        )
    if len(pure.parts) > MAX_DEPTH:
        raise UnsafeArchiveError(
            f"{archive}: member {name[:80]!r}… lies {len(pure.parts):,} folders deep; refused, "
            f"nothing was unpacked"
        )
    return root.joinpath(*pure.parts)


def _zip_members(archive: Path) -> Iterator[Member]:
    """Raises ValueError for links, devices and encrypted members."""
    with zipfile.ZipFile(archive) as zipped:
        for info in zipped.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            # 0: made by a system without Unix modes.
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                _refuse_kind(archive, info.filename)
            if info.flag_bits & 1:
                raise UnsafeArchiveError(f"{archive}: member {info.filename!r} is encrypted")
            if info.is_dir():
                yield info.filename, None
                continue
            with zipped.open(info) as source:
                yield info.filename, source


class _BoundedStream:
    """A tar file's bytes, as tarfile reads them.

    tarfile reads a header at once, however long it claims to be, and skips what is not asked for.
    Here neither goes further than an archive may.
    """

    def __init__(self, stream: IO[bytes], archive: Path, limit: int) -> None:
        self.stream, self.archive, self.limit = stream, archive, limit
        self.tell = stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= CHUNK:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.stream.read(size)

    def seek(self, position: int) -> int:
        if position > self.limit:
            _refuse_size(self.archive)
        return self.stream.seek(position)


def _tar_members(archive: Path, opener: Callable[..., Any], limit: int) -> Iterator[Member]:
    """As `_zip_members`, for a tar file behind the decompression of `opener`."""
    with (
        opener(archive, "rb") as stream,
        tarfile.open(fileobj=_bounded(stream, archive, limit), mode="r:") as tar,
    ):
        while (info := tar.next()) is not None:
            if info.size < 0:  # tarfile would go back, for ever
                raise tarfile.ReadError(f"a member of {info.size:,} bytes")
            if info.isdir():
                yield info.name, None
            elif info.isreg():
                yield info.name, tar.extractfile(info)
            else:
                _refuse_kind(archive, info.name)
        _check_end(stream, archive, limit)


def _bounded(stream: IO[bytes], archive: Path, limit: int) -> IO[bytes]:
    return cast(IO[bytes], _BoundedStream(stream, archive, limit))


def _check_end(stream: IO[bytes], archive: Path, limit: int) -> None:
    """Raises tarfile.ReadError where more than zeros follow.

    tarfile takes a damaged header for the end. Reading on also makes the decompressor compare its
    checksum.
    """
    while block := stream.read(CHUNK):
        if block.strip(b"\0"):
            raise tarfile.ReadError("data after the end of the archive")
        if stream.tell() > limit:
            _refuse_size(archive)


def _refuse_size(archive: Path) -> NoReturn:
    raise UnsafeArchiveError(
        f"{archive}: holds more than {MAX_RATIO} times its size, as no data set does; refused, "
        f"nothing was unpacked"
    )


def _refuse_kind(archive: Path, name: str) -> NoReturn:
    raise UnsafeArchiveError(
        f"{archive}: member {name!r} is a link or a device; refused, nothing was unpacked"
    )
