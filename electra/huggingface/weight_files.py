"""The weights in a folder: one file or several parts, as safetensors or pickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from electra.checkpoint.safe_load import is_plain, read_pickle
from electra.huggingface.json_files import read_json
from electra.huggingface.left_out import TRAINING_ENTRIES
from electra.huggingface.safetensors import read_safetensors
from electra.huggingface.tensor_names import list_names

Reader = Callable[[Path], dict[str, Tensor]]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors in `model.safetensors` or `pytorch_model.bin` of a folder, or in their parts.

    An entry of `TRAINING_ENTRIES` that is no tensor is an empty tensor in the answer: it is left
    out, by its name. Raises ValueError where there is no such file, or one is damaged or holds
    more than tensors, and for parts that are not those of the index.
    """
    readers: dict[str, Reader] = {
        "model.safetensors": read_safetensors,
        "pytorch_model.bin": _read_pickled,
    }
    for name, read in readers.items():
        path, index = folder / name, folder / f"{name}.index.json"
        if path.is_file():
            return read(path)
        if index.is_file():
            return _read_parts(index, read)
    raise ValueError(f"{folder} has neither model.safetensors nor pytorch_model.bin")


def _read_pickled(path: Path) -> dict[str, Tensor]:
    try:
        content = read_pickle(path)
    except ValueError as problem:
        raise ValueError(
            f"{path} is damaged, or holds something other than tensors, and was not loaded: "
            f"{problem}"
        ) from None

    if isinstance(content, dict):
        entries = TRAINING_ENTRIES & content.keys()
        others = {name for name in entries if not isinstance(content[name], Tensor)}
        content = {**content, **{name: torch.empty(0) for name in others}}
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and is_plain(tensor) for name, tensor in content.items()
    ):
        raise ValueError(f"{path} is not a dictionary of tensors")
    return content


def _read_parts(index: Path, read: Reader) -> dict[str, Tensor]:
    """The tensors in the files that an index names. A part's own names count where it has more."""
    folder, places = index.parent, _read_places(index)
    parts = sorted(set(places.values()))
    outside = [part for part in parts if Path(part).name != part]
    if outside:
        raise ValueError(f"{index} names files outside its folder: {list_names(outside)}")
    there = {path.name for path in folder.iterdir() if path.is_file()}
    missing = [part for part in parts if part not in there]
    if missing:
        raise ValueError(f"{index} names files that {folder} lacks: {list_names(missing)}")

    tensors: dict[str, Tensor] = {}
    for part in parts:
        found = read(folder / part)
        lost = sorted(name for name, place in places.items() if place == part and name not in found)
        if lost:
            raise ValueError(
                f"{folder / part} lacks tensors that {index.name} says it has: {list_names(lost)}"
            )
        tensors |= {name: found[name] for name in found if places.get(name, part) == part}
    return tensors


def _read_places(index: Path) -> dict[str, str]:
    """The name of every tensor -> the name of its file."""
    places = read_json(index).get("weight_map")
    if (
        not isinstance(places, dict)
        or not places
        or not all(isinstance(part, str) for part in places.values())
    ):
        raise ValueError(f"{index} has no weight_map of the names of tensors and of files")
    return places
