"""Which file is meant where a checkpoint is named: that file, or the one in a run folder."""

from __future__ import annotations

import shlex
from pathlib import Path

NEWEST = "ckpt.pt"  # in every run folder
# Weights in the layout of Hugging Face, which scripts/convert.py reads.
_RELEASED_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.index.json")
_RELEASED_ENDINGS = (".bin", ".index.json")  # and .safetensors; a checkpoint may end in .bin too
# The folders of an ELECTRA's two networks, as scripts/download.py makes them.
_NETWORKS = ("discriminator", "generator")


def locate_checkpoint(path: str | Path) -> Path:
    """The file of a checkpoint; a run folder stands for its ckpt.pt.

    The file itself is not looked at. Raises ValueError for a folder without a checkpoint, and for
    downloaded weights with the command that converts them.
    """
    path = Path(path)
    if path.is_dir():
        if (path / NEWEST).exists():
            return path / NEWEST
        folders = [path] if _is_released(path) else [path / network for network in _NETWORKS]
        folders = [folder for folder in folders if _is_released(folder)]
        if not folders:
            raise ValueError(f"cannot read the checkpoint {path}: it is a folder without {NEWEST}")
    elif path.suffix == ".safetensors" or (
        path.name.endswith(_RELEASED_ENDINGS) and _is_released(path.parent)
    ):
        folders = [path.parent]
    else:
        return path
    raise ValueError(
        f"{path} is a downloaded model, not a checkpoint of this program; convert it first: "
        f"{_conversion(folders)}"
    )


def _is_released(folder: Path) -> bool:
    """Whether a folder has the files of a downloaded model."""
    has_weights = any(any(folder.glob(pattern)) for pattern in _RELEASED_WEIGHTS)
    return has_weights and (folder / "config.json").exists()


def _conversion(folders: list[Path]) -> str:
    """The command that makes a checkpoint of downloaded folders, as it is typed in a shell."""
    named = folders[0].resolve()
    if named.name in _NETWORKS:
        named = named.parent
    out = f"{named.name or 'imported'}.pt"
    command = ["python", "scripts/convert.py", "import", *map(str, folders), "--out", out]
    return shlex.join(command)
