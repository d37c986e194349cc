"""A checkpoint to pass on: weights in bfloat16, and nothing that only a resume needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch

from electra.checkpoint.checkpoint import KINDS, check_finite
from electra.checkpoint.next_command import next_command
from electra.checkpoint.storage import load_checkpoint, save_checkpoint

# Settings of train.py and finetune.py that are paths.
PATHS = {"corpus", "valid", "data", "task_file", "tokenizer", "init", "cache", "out", "config"}


def shrink_checkpoint(source: Path, out: Path) -> list[str]:
    """Write a checkpoint of any kind as a small one. Returns what to tell the user.

    Every program reads it; `train.py --resume` cannot go on from it, `train.py --init` can. A
    weight in bfloat16 has 8 binary digits. Of the paths in its settings that name folders of this
    machine only the last names are kept.

    Raises ValueError for a file that cannot be read, weights that are not finite, and where `out`
    exists or cannot be written.
    """
    if out.exists():
        raise ValueError(f"{out} is already there; remove it or choose another --out")
    checkpoint = load_checkpoint(source, KINDS)
    check_finite(checkpoint.model, source)

    weights = {
        name: value.to(torch.bfloat16) if value.is_floating_point() else value
        for name, value in checkpoint.model.items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    small = replace(
        checkpoint,
        model=weights,
        settings=_without_folders(checkpoint.settings),
        origin=checkpoint.origin_now(),
        training=None,
    )
    save_checkpoint(out, small)
    return [
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, weights in bfloat16. Next:",
        f"  {next_command(out, checkpoint.kind, checkpoint.pairs)}",
    ]


def _without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with no folder outside the one in which the program was typed."""
    found = dict(settings)
    for name in PATHS & set(settings):
        value = settings[name]
        several = isinstance(value, (list, tuple))
        found[name] = [_inside(path) for path in value] if several else _inside(value)
    return found


def _inside(path: str | None) -> str | None:
    """A path as it is where it leads downwards from here, else its last name."""
    if path is None:
        return None
    leads_outside = (
        PurePosixPath(path).is_absolute()
        or PureWindowsPath(path).drive
        or path.startswith("~")
        or ".." in PurePosixPath(path).parts
    )
    return PureWindowsPath(path).name if leads_outside else path
