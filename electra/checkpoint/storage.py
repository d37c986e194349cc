"""The file of a checkpoint: written atomically, verified when read, loaded without running code.

It is what `torch.save` writes (a zip archive) of `Checkpoint.to_dict`, with the SHA-256 of all
bytes before it as the archive's comment. So any program that reads checkpoints of torch can read
it, and one changed or missing byte is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from electra.checkpoint.checkpoint import FORMAT, KINDS, Checkpoint
from electra.checkpoint.location import locate_checkpoint
from electra.checkpoint.safe_load import read_pickle
from electra.data.tokenizer import Tokenizer, load_tokenizer

_COMMENT_LENGTH = len(b"sha256:") + 64
_COMMENT = struct.pack("<H", _COMMENT_LENGTH) + b"sha256:"  # a zip comment begins with its length
_BLOCK = 1 << 22  # bytes


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint: `path` is the old file or the whole new one, never something between.

    Raises ValueError where it cannot be written, as on a full disk; then `path` is as it was.
    """
    write_sealed(path, checkpoint.to_dict())


def load_checkpoint(path: str | Path, kinds: tuple[str, ...]) -> Checkpoint:
    """Read and verify a checkpoint, or the ckpt.pt of a run folder. Runs no code from the file.

    Raises ValueError, in one line, for a file that is missing, cut off, damaged, not a checkpoint,
    of another version, or of a kind that is not in `kinds`.
    """
    path = locate_checkpoint(path)
    content = _read_sealed(path)
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{path} is not a checkpoint of this program")
    if type(content["format"]) is not int or content["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {content['format']!r:.60}, this program reads format {FORMAT}"
        )
    if content.get("kind") not in kinds:
        raise ValueError(
            f"{path} holds a model of kind {content.get('kind')!r:.60}; "
            f"{' or '.join(kinds)} is needed here"
        )
    try:
        return Checkpoint.from_dict(content)
    except ValueError as problem:
        raise ValueError(f"{path} is not a checkpoint that this program wrote: {problem}") from None


def load_tokenizer_at(path: str | Path, cased: bool = False) -> Tokenizer:
    """The tokenizer of a checkpoint or of a run folder, or the one in a file of its own.

    cased: as `load_tokenizer` has it. Raises ValueError, in one line, for anything else.
    """
    path = Path(path)
    if path.is_dir() or path.suffix in (".pt", ".safetensors") or zipfile.is_zipfile(path):
        return load_checkpoint(path, KINDS).tokenizer
    return load_tokenizer(path, cased)


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file, seal it with its checksum, sync, rename. Raises ValueError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w+b") as file:
            # Into an open file: torch hides the reason of a full disk where it opens it itself.
            torch.save(content, file)
            digest = _digest(file, file.tell() - 2)
            file.seek(-2, os.SEEK_END)  # where the archive has the length of its empty comment
            file.write(_COMMENT + digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as problem:
        untouched = "; the one before it is untouched" if path.exists() else ""
        raise ValueError(
            f"cannot write the checkpoint {path}: {_reason(problem)}{untouched}"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # a disk that has become read-only
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Put a renaming on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(problem: BaseException) -> str:
    """What the system said: torch, closing its archive, hides that behind a RuntimeError."""
    while not isinstance(problem, OSError) and problem.__context__ is not None:
        problem = problem.__context__
    return getattr(problem, "strerror", None) or str(problem).split("\n")[0]


def _read_sealed(path: Path) -> Any:
    """The content of a file that `write_sealed` wrote, once its checksum is found to be right."""
    try:
        with open(path, "rb") as file:
            sealed = max(0, file.seek(0, os.SEEK_END) - _COMMENT_LENGTH - 2)
            file.seek(sealed)
            comment = file.read()
            is_sealed = comment.startswith(_COMMENT)
            is_whole = is_sealed and _digest(file, sealed) == comment[len(_COMMENT) :]
    except OSError as problem:
        raise ValueError(f"cannot read the checkpoint {path}: {problem.strerror}") from None
    if not is_sealed:
        raise ValueError(f"{path} is not a checkpoint of this program, or it was cut off")
    if not is_whole:
        raise ValueError(
            f"the checkpoint {path} is damaged: its checksum is wrong; take an earlier one"
        )
    try:
        return read_pickle(path)
    except ValueError as problem:
        raise ValueError(
            f"{path} holds something other than weights and settings, and was not loaded: {problem}"
        ) from None


def _digest(file: BinaryIO, size: int) -> bytes:
    """SHA-256, in hexadecimal, of the first `size` bytes."""
    file.seek(0)
    digest, left = hashlib.sha256(), size
    while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()
