"""The format safetensors: tensors with their names, read without trust, and written."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from electra.huggingface.json_files import parse_json_object

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
_LENGTH_BYTES = 8  # before the header
_LARGEST_HEADER = 100_000_000  # bytes, as in the reference implementation
_LARGEST_SHAPE = 1 << 56  # elements


class _Entry(NamedTuple):
    """A tensor in a safetensors header. `begin` and `end` are bytes of the data."""

    begin: int
    end: int
    dtype: torch.dtype
    shape: list[int]
    name: str


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file.

    Layout: the header's length (8 bytes, little-endian); the header (JSON: name -> dtype, shape,
    data_offsets); the data. Raises ValueError where they do not fit together: the tensors must
    tile the data without a gap, as the format demands.
    """
    try:
        with open(path, "rb") as file:
            return _read_tensors(file, path.stat().st_size, path)
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    except _DamagedError as problem:
        raise ValueError(f"{path} is not a safetensors file, or damaged: {problem}") from None


class _DamagedError(Exception):
    """What is wrong with a file; `read_safetensors` adds the file's name."""


def _read_tensors(file: BinaryIO, size: int, path: Path) -> dict[str, Tensor]:
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    data_size = size - _LENGTH_BYTES - length
    if size < _LENGTH_BYTES or data_size < 0 or length > _LARGEST_HEADER:
        raise _DamagedError(f"a header of {length:,} bytes in a file of {size:,}")
    header = parse_json_object(file.read(length), f"the header of {path}")
    header.pop("__metadata__", None)
    entries = [_parse_entry(name, values) for name, values in header.items()]

    tensors, reached = {}, 0
    for entry in sorted(entries, key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != reached:
            raise _DamagedError(
                f"tensor {entry.name!r} begins at byte {entry.begin:,} of the data, the one before "
                f"it ends at {reached:,}"
            )
        if entry.end > data_size:
            raise _DamagedError(
                f"tensor {entry.name!r} ends at byte {entry.end:,} of {data_size:,}"
            )
        data = bytearray(file.read(entry.end - entry.begin))
        # torch.frombuffer refuses an empty buffer.
        flat = torch.frombuffer(data, dtype=entry.dtype) if data else torch.empty(0).to(entry.dtype)
        tensors[entry.name] = flat.reshape(entry.shape)
        reached = entry.end
    if reached != data_size:
        raise _DamagedError(f"{data_size - reached:,} bytes behind the last tensor")
    return tensors


def _parse_entry(name: str, values: Any) -> _Entry:
    if (
        not isinstance(values, dict)
        or not _is_list_of_sizes(values.get("shape"))
        or not _is_list_of_sizes(values.get("data_offsets"))
        or len(values["data_offsets"]) != 2
    ):
        raise _DamagedError(f"tensor {name!r} is not described by dtype, shape and data_offsets")
    if values.get("dtype") not in tuple(_DTYPES):
        raise _DamagedError(f"tensor {name!r} has the unknown dtype {values.get('dtype')!r:.60}")
    dtype, shape, (begin, end) = _DTYPES[values["dtype"]], values["shape"], values["data_offsets"]

    # The dimensions beside a 0 are bounded too: torch multiplies them.
    if math.prod(max(1, dimension) for dimension in shape) >= _LARGEST_SHAPE:
        raise _DamagedError(f"tensor {name!r} has an absurd shape")
    size = math.prod(shape) * dtype.itemsize
    if end - begin != size:
        raise _DamagedError(
            f"tensor {name!r} of shape {shape} takes {size:,} bytes, not {end - begin:,}"
        )
    return _Entry(begin, end, dtype, shape, name)


def _is_list_of_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def write_safetensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors (any device, any of the dtypes above), in the order of their names."""
    dtype_names = {dtype: name for name, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **(metadata or {})}}
    end = 0
    for name, tensor in sorted(tensors.items()):
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": dtype_names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8

    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            flat = tensor.detach().cpu().contiguous().flatten()
            file.write(flat.view(torch.uint8).numpy().tobytes())
