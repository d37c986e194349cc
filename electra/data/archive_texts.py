"""The texts in a tar or zip archive, one after the other and in bounded memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from electra.data.archives import (
    ENCRYPTED,
    FOLDER,
    SPECIAL,
    Allowance,
    Member,
    tar_members,
    zip_members,
)
from electra.data.file_kinds import TAR, ZIP, is_tar
from electra.data.sources import HIDDEN, LINKS, NESTED, WANTED_NAMES, is_hidden, why_left_out
from electra.data.text_files import (
    ZIP_SIGNATURES,
    TextFile,
    allowance_of,
    guarded,
    naming,
    open_text,
)


def member_texts(
    archive: TextFile, kind: str, wanted: re.Pattern[str], left_out: Counter[str]
) -> Iterator[TextFile]:
    """The members with a wanted name, open, each to be read before the next one is asked for.

    Links are not followed, and archives within are not opened; `left_out` counts what is left out
    by its reason. Raises ValueError for an archive that is damaged, encrypted, or unpacks to far
    more than its size.
    """
    if kind == ZIP and archive.packed:
        raise ValueError(f"cannot read {archive.name}: a .zip that is packed again; unpack it")
    allowance = allowance_of(archive.path)
    for member in _members(archive, kind, allowance):
        name = member.name.replace("\\", "/")
        if member.kind == FOLDER:
            continue
        if reason := _why_left_out(name, member.kind, wanted):
            left_out[reason] += 1
            continue
        if member.kind == ENCRYPTED:
            raise ValueError(f"cannot read {archive.name}: its member {name} is encrypted")

        where = f"{archive.name}: member {name}"
        with naming(where):
            opened = member.open()
        with opened:
            stream = guarded(opened, where, allowance if kind == ZIP else None)
            is_document = wanted is WANTED_NAMES[0]
            text = open_text(stream, where, archive.path, is_document, name, allowance)
            if text.head.startswith(ZIP_SIGNATURES) or is_tar(text.head):
                left_out[NESTED] += 1
                continue
            yield text


def _members(archive: TextFile, kind: str, allowance: Allowance) -> Iterator[Member]:
    with naming(archive.name):
        if kind == TAR:
            yield from tar_members(archive.stream, allowance)
        else:
            yield from zip_members(archive.stream)


def _why_left_out(name: str, kind: str, wanted: re.Pattern[str]) -> str:
    """Why a member is not read; empty where it is."""
    parts = PurePosixPath(name).parts
    if any(map(is_hidden, parts)):
        return HIDDEN
    return LINKS if kind == SPECIAL else why_left_out(parts[-1] if parts else "", wanted)
