"""Weights in files: safetensors, and pickles read without trust."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from electra.checkpoint.safe_load import is_plain, read_pickle
from electra.huggingface.json_files import json_object


def read_weights(folder: Path) -> dict[str, Tensor]:
    """`model.safetensors` or `pytorch_model.bin` of a folder. Raises ValueError where there is neither, or it is
    damaged or holds more than tensors."""
    safe, pickled = folder / "model.safetensors", folder / "pytorch_model.bin"
    if safe.is_file():
        return read_safetensors(safe)
    if not pickled.is_file():
        parts = sorted(path.name for path in folder.glob("*.index.json"))
        raise ValueError(
            f"{folder} has "
            + (
                f"weights in several parts ({parts[0]}), which are not read"
                if parts
                else "neither model.safetensors nor pytorch_model.bin"
            )
        )
    try:
        tensors = read_pickle(pickled)
    except ValueError as problem:
        raise ValueError(
            f"{pickled} is damaged, or holds something other than tensors, and was not loaded: "
            f"{problem}"
        ) from None
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and is_plain(tensor) for name, tensor in tensors.items()
    ):
        raise ValueError(f"{pickled} is not a dictionary of tensors")
    return tensors


# --- safetensors ---

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
_LONGEST_HEADER = 100_000_000  # bytes, as in the reference implementation


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file.

    Layout: the header's length (8 bytes, little-endian), the header (JSON: name -> dtype, shape, data_offsets), the
    data. Raises ValueError where they do not fit: the tensors must tile the data without a gap, as the format demands.
    """

    def wrong(what: str) -> ValueError:
        return ValueError(f"{path} is not a safetensors file, or damaged: {what}")

    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise wrong(f"a header of {length:,} bytes in a file of {size:,}")
            header = json_object(file.read(length), f"the header of {path}")
            header.pop("__metadata__", None)
            places = sorted(
                ((*_place(name, entry, wrong), name) for name, entry in header.items()),
                key=lambda p: p[:2],
            )
            tensors, reached = {}, 0
            for begin, end, dtype, shape, name in places:
                if begin != reached:
                    raise wrong(
                        f"tensor {name!r} begins at byte {begin:,} of the data, the one before it ends at "
                        f"{reached:,}"
                    )
                if end > size - 8 - length:
                    raise wrong(f"tensor {name!r} ends at byte {end:,} of {size - 8 - length:,}")
                data = bytearray(file.read(end - begin))
                tensors[name] = (
                    torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
                ).reshape(shape)
                reached = end
            if reached != size - 8 - length:
                raise wrong(f"{size - 8 - length - reached:,} bytes behind the last tensor")
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return tensors


def _place(name: str, entry: Any, wrong: Any) -> tuple[int, int, torch.dtype, list[int]]:
    """(first byte, byte after the last, dtype, shape) of a header's entry."""
    natural = lambda values: (
        isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)
    )
    if (
        not isinstance(entry, dict)
        or not natural(entry.get("shape"))
        or not natural(entry.get("data_offsets"))
        or len(entry["data_offsets"]) != 2
    ):
        raise wrong(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    if entry.get("dtype") not in tuple(_DTYPES):
        raise wrong(f"tensor {name!r} has the unknown dtype {entry.get('dtype')!r:.60}")
    dtype, (begin, end) = _DTYPES[entry["dtype"]], entry["data_offsets"]
    count = math.prod(entry["shape"])
    if (
        math.prod(max(1, dimension) for dimension in entry["shape"]) >= 1 << 56
    ):  # a 0 hides the others' size
        raise wrong(f"tensor {name!r} has an absurd shape")
    if end - begin != count * dtype.itemsize:
        raise wrong(
            f"tensor {name!r} of shape {entry['shape']} takes {count * dtype.itemsize:,} bytes, not "
            f"{end - begin:,}"
        )
    return begin, end, dtype, entry["shape"]


def write_safetensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors (any device, any of the dtypes above), in the order of their names."""
    names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(
                tensors[name]
                .detach()
                .cpu()
                .contiguous()
                .flatten()
                .view(torch.uint8)
                .numpy()
                .tobytes()
            )
