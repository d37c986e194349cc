"""A checkpoint to pass on: weights in bfloat16, and nothing that only a resume needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from electra.checkpoint.checkpoint import KINDS, check_finite
from electra.checkpoint.next_command import next_command
from electra.checkpoint.storage import load_checkpoint, save_checkpoint


def shrink_checkpoint(source: Path, out: Path) -> list[str]:
    """Write a checkpoint of any kind as a small one. Returns what to tell the user.

    Every program reads it; `train.py --resume` cannot go on from it, `train.py --init` can. A
    weight in bfloat16 has 8 binary digits. Of the absolute paths in its settings only the last
    names are kept: the folders of a machine are nobody else's business.

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
        settings={name: _without_folders(value) for name, value in checkpoint.settings.items()},
        origin=checkpoint.origin_now(),
        training=None,
    )
    save_checkpoint(out, small)
    return [
        f"{out}: {out.stat().st_size / 1e6:.1f} MB, weights in bfloat16. Next:",
        f"  {next_command(out, checkpoint.kind, checkpoint.pairs)}",
    ]


def _without_folders(value: Any) -> Any:
    """A setting in which an absolute path is its last name."""
    if isinstance(value, (list, tuple)):
        return type(value)(_without_folders(part) for part in value)
    is_absolute = isinstance(value, str) and Path(value).is_absolute()
    return Path(value).name or value if is_absolute else value
