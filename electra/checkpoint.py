"""Checkpoints: one self-contained file, written atomically, verified when read, and loaded without running code.

A file is what `torch.save` writes (a zip archive), with the SHA-256 of everything before it in the archive's comment:
any program that reads checkpoints of torch reads it, and one changed or missing byte is noticed.

    format            1
    kind              "electra", "mlm" (both pre-trained) or "classifier"
    model             weights by name
    model_config      of `config.ModelConfig`
    tokenizer         the model file's bytes, uint8
    labels            label words of a classifier; none for a regression
    pairs, scale      whether a classifier reads two texts; the unit of a regression's values, None for classes
    settings          of the run, of `config.PretrainConfig` or `config.FinetuneConfig`
    training          what exact resume needs: step, optimizer, loss scale, place in the data; absent in a classifier

Nothing random is stored: masks, samples and dropout of step n are functions of (seed, n).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from electra.config import ModelConfig, from_dict, to_dict
from electra.corpus import write_atomically
from electra.pickles import is_plain, read_pickle
from electra.tokenizer import Tokenizer, is_text, tokenizer_from_bytes

FORMAT = 1
PRETRAINED = ("electra", "mlm")
KINDS = (*PRETRAINED, "classifier")
_COMMENT_LENGTH = len(b"sha256:") + 64
_COMMENT = struct.pack("<H", _COMMENT_LENGTH) + b"sha256:"   # its length comes first


def pack(model: nn.Module, tokenizer: Tokenizer, settings: object, training: dict[str, Any] | None = None,
         labels: tuple[str, ...] = (), pairs: bool = False, scale: float | None = None) -> dict[str, Any]:
    """The dictionary that `save` writes."""
    content = {
        "format": FORMAT, "kind": model.kind, "model": model.state_dict(), "model_config": to_dict(model.config),
        "tokenizer": torch.from_numpy(np.frombuffer(tokenizer.to_bytes(), np.uint8).copy()),
        "labels": list(labels), "pairs": pairs, "scale": scale, "settings": to_dict(settings)}
    return content if training is None else {**content, "training": training}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file, sync, rename: `path` is the old file or the whole new one, never something between.

    Raises ValueError where it cannot be written, as on a full disk; then `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(content, temporary)
        digest = _digest(temporary, temporary.stat().st_size - 2)
        with open(temporary, "r+b") as file:
            file.seek(-2, os.SEEK_END)
            file.write(_COMMENT + digest)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, RuntimeError) as problem:   # torch's zip writer raises RuntimeError on a full disk
        reason = problem.strerror if isinstance(problem, OSError) else str(problem).splitlines()[0]
        raise ValueError(f"cannot write the checkpoint {path}: {reason}; the one before it is untouched") from None
    finally:
        temporary.unlink(missing_ok=True)


def _digest(path: Path, size: int) -> bytes:
    """SHA-256, in hexadecimal, of the first `size` bytes."""
    digest, left = hashlib.sha256(), size
    with open(path, "rb") as file:
        while left and (block := file.read(min(left, 1 << 22))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest().encode()


def load(path: str | Path, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Read and verify a checkpoint. Runs no code from the file.

    Raises ValueError, in one line, for a file that is missing, cut off, damaged, not a checkpoint, of another version,
    or of a kind that is not in `kinds`.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            file.seek(max(0, size - _COMMENT_LENGTH - 2))
            comment = file.read()
    except OSError as problem:
        raise ValueError(f"cannot read the checkpoint {path}: {problem.strerror}") from None
    if not comment.startswith(_COMMENT):
        raise ValueError(f"{path} is not a checkpoint of this program, or it was cut off")
    if _digest(path, size - _COMMENT_LENGTH - 2) != comment[len(_COMMENT):]:
        raise ValueError(f"the checkpoint {path} is damaged: its checksum is wrong; take an earlier one")
    try:
        content = read_pickle(path)
    except ValueError as problem:
        raise ValueError(f"{path} holds something other than weights and settings, and was not loaded: {problem}") from None
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{path} is not a checkpoint of this program")
    if type(content["format"]) is not int or content["format"] != FORMAT:
        raise ValueError(f"{path} has format {content['format']!r:.60}, this program reads format {FORMAT}")
    if content.get("kind") not in kinds:
        raise ValueError(f"{path} holds a model of kind {content.get('kind')!r:.60}; {' or '.join(kinds)} is needed here")
    try:
        _check_parts(content)
    except ValueError as problem:
        raise ValueError(f"{path} is not a checkpoint that this program wrote: {problem}") from None
    return content


def _check_parts(content: dict[str, Any]) -> None:
    """Raises ValueError for a part that is missing, or is not what the functions below take it for."""
    named = lambda values: isinstance(values, dict) and all(isinstance(name, str) for name in values)
    labels, scale, tokens = content.get("labels"), content.get("scale"), content.get("tokenizer")
    sound = {
        "model": named(content.get("model")) and all(map(is_plain, content["model"].values())),
        "model_config": named(content.get("model_config")), "settings": named(content.get("settings")),
        "tokenizer": is_plain(tokens) and tokens.dtype == torch.uint8 and tokens.ndim == 1,
        "labels": isinstance(labels, list) and all(isinstance(label, str) and is_text(label) for label in labels)
                  and (bool(labels) or scale is not None or content["kind"] != "classifier"),
        "pairs": isinstance(content.get("pairs", False), bool),
        "scale": scale is None or (isinstance(scale, (int, float)) and 0 < scale < math.inf),
        "training": named(content.get("training", {}))}
    wrong = [name for name, is_sound in sound.items() if not is_sound]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} missing or of a wrong kind")
    shape, tokenizer = config_of(content), tokenizer_of(content)
    if tokenizer.vocab_size > shape.vocab_size or tokenizer.special != shape.special:
        raise ValueError("its tokenizer and its model do not go together")


def tokenizer_of(content: dict[str, Any]) -> Tokenizer:
    return tokenizer_from_bytes(content["tokenizer"].numpy().tobytes())


def config_of(content: dict[str, Any]) -> ModelConfig:
    return from_dict(ModelConfig, content["model_config"])


def load_encoder(model: nn.Module, content: dict[str, Any]) -> None:
    """Copy embeddings and encoder of a checkpoint of any kind into `model`, every one of their tensors."""
    prefix = {"electra": "discriminator.", "mlm": "mlm.encoder.", "classifier": "encoder."}[content["kind"]]
    embeddings, encoder = model.encoder_state()
    pick = lambda start: {name.removeprefix(start): value for name, value in content["model"].items()
                          if name.startswith(start)}
    embeddings.load_state_dict(pick("embeddings."))
    encoder.load_state_dict(pick(prefix))


def link(source: Path, target: Path) -> None:
    """Give `source` the second name `target` without writing it twice."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:   # a file system without links
        temporary.write_bytes(source.read_bytes())
    os.replace(temporary, target)


class RunFolder:
    """`runs/NAME/`, held by one process at a time through a lock that dies with it."""

    def __init__(self, path: str | Path, resume: bool = False, replace: bool = False) -> None:
        """Open a new folder, or with `resume` one that is there; `replace` takes over what an earlier run left.

        Raises ValueError where the folder is there and should not be, or is not and should, or is in use.
        """
        self.path = Path(path)
        self.checkpoint = self.path / "ckpt.pt"
        if resume and not self.checkpoint.exists():
            raise ValueError(f"there is nothing to resume in {self.path}: it has no ckpt.pt")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.path / ".lock", "w")
        except OSError as problem:
            raise ValueError(f"cannot write in the run folder {self.path}: {problem.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"the run folder {self.path} is in use by another process; choose another --out") from None
        if (self.path / "config.json").exists() and not resume and not replace:
            self._lock.close()
            raise ValueError(f"the run folder {self.path} is already there; {self._way_on()} or choose another --out")

    def _way_on(self) -> str:
        if not self.checkpoint.exists():
            return "it has no checkpoint: remove it,"
        pretraining = "corpus" in json.loads((self.path / "config.json").read_text())
        return "go on with --resume" if pretraining else "replace it with --force"

    def write_json(self, name: str, content: object) -> None:
        """Write a small file whole or not at all."""
        write_atomically(self.path / name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def save(self, content: dict[str, Any], step: int, keep: int) -> None:
        """Save as ckpt.pt and as ckpt-<step>.pt, of which the newest `keep` stay."""
        save(self.checkpoint, content)
        if keep:
            link(self.checkpoint, self.path / f"ckpt-{step}.pt")
        numbered = sorted(self.path.glob("ckpt-*.pt"), key=lambda p: int(p.stem.removeprefix("ckpt-")))
        for old in numbered[:max(0, len(numbered) - keep)]:
            old.unlink()

    def close(self) -> None:
        self._lock.close()
