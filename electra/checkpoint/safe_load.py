"""What torch.save wrote, read without trust: no code of the file's runs, and nothing takes more memory than the file has
bytes."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_pickle(path: Path) -> Any:
    """The content of a file of torch.save. Raises ValueError, which tells the reason and not the file, for anything else."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                taken = sum(part.file_size for part in archive.infolist())
            if taken > path.stat().st_size:  # torch compresses nothing
                raise ValueError(f"its parts would take {taken:,} bytes, more than the file has")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch talks of what it is about to refuse
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # a damaged file makes torch's reader raise almost anything
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise ValueError(reason[:120]) from None


def is_plain(value: object) -> bool:
    """Whether a value is a tensor of real numbers that has all of its elements in memory: a few bytes can be expanded to
    any shape."""
    return (
        isinstance(value, Tensor)
        and value.device.type == "cpu"
        and value.layout == torch.strided
        and not value.is_quantized
        and not value.is_complex()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
