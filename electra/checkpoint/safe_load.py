"""Reading what torch.save wrote, without trust.

No code of the file runs, and nothing takes more memory than the file has bytes.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_pickle(path: Path) -> Any:
    """The content of a file of torch.save.

    Raises ValueError for anything else, with the reason and without the file's name.
    """
    try:
        _refuse_compression(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of what it is about to refuse
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # a damaged file makes torch's reader raise almost anything
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise ValueError(reason[:120]) from None


def _refuse_compression(path: Path) -> None:
    """Raises ValueError for an archive that grows when it is read; torch compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"its parts would take {unpacked:,} bytes, more than the file has")


def is_plain(value: object) -> bool:
    """Whether a value is a tensor of real numbers that has all of its elements in memory.

    A few bytes can be expanded to a tensor of any shape.
    """
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_complex()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
