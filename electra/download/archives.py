"""Unpacking archives that may be damaged or hostile."""

from __future__ import annotations

import errno
import gzip
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from electra.data.archives import (
    ALWAYS_ALLOWED,
    CHUNK,
    DAMAGED,
    ENCRYPTED,
    FOLDER,
    MAX_RATIO,
    SPECIAL,
    Allowance,
    Member,
    TooLargeError,
    tar_members,
    zip_members,
)
from electra.data.sources import MACOS_FOLDER

MAX_DEPTH = 64  # folders within folders

_TAR_OPENERS: dict[str, Callable[..., Any]] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.xz": lzma.open,
}


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
    members = zip_members(archive)
    if suffix != ".zip":
        members = _tar_members(archive, _TAR_OPENERS[suffix], limit)

    try:
        _write_members(members, root, archive, Allowance(limit))
    except UnsafeArchiveError:
        raise
    except TooLargeError:
        raise UnsafeArchiveError(
            f"{archive}: holds more than {MAX_RATIO} times its size, as no data set does; refused, "
            f"nothing was unpacked"
        ) from None
    except (*DAMAGED, OSError) as error:
        of_the_disk = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)
        if of_the_disk:
            raise
        raise ValueError(f"{archive}: damaged or incomplete ({error}); get it again") from None


def _write_members(
    members: Iterator[Member], root: Path, archive: Path, allowance: Allowance
) -> None:
    for member in members:
        _check_kind(member, archive)
        if member.name.startswith(f"{MACOS_FOLDER}/"):  # no data
            continue
        path = _safe_path(root, member.name, archive)
        try:
            if member.kind == FOLDER:
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as source:
                _write_file(path, source, allowance)
        except FileExistsError:
            raise UnsafeArchiveError(f"{archive}: holds {member.name!r} twice") from None


def _check_kind(member: Member, archive: Path) -> None:
    """Raises ValueError for links, devices and encrypted members."""
    if member.kind == SPECIAL:
        raise UnsafeArchiveError(
            f"{archive}: member {member.name!r} is a link or a device; refused, nothing was "
            f"unpacked"
        )
    if member.kind == ENCRYPTED:
        raise UnsafeArchiveError(f"{archive}: member {member.name!r} is encrypted")


def _write_file(path: Path, source: IO[bytes], allowance: Allowance) -> None:
    """Raises TooLargeError before the first byte that is not allowed."""
    with open(path, "xb") as file:
        while block := source.read(CHUNK):
            allowance.spend(len(block))
            file.write(block)


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


def _tar_members(archive: Path, opener: Callable[..., Any], limit: int) -> Iterator[Member]:
    """The members of a tar file behind the decompression of `opener`."""
    with opener(archive, "rb") as stream:
        yield from tar_members(stream, Allowance(limit))
