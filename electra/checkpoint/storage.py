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

import contextlib
import hashlib
import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from electra.checkpoint.safe_load import is_plain, read_pickle
from electra.config import ModelConfig, from_dict, to_dict
from electra.data.sentencepiece import is_text
from electra.data.tokenizer import Tokenizer, tokenizer_from_bytes

FORMAT = 1
PRETRAINED = ("electra", "mlm")
KINDS = (*PRETRAINED, "classifier")
_COMMENT_LENGTH = len(b"sha256:") + 64
_COMMENT = struct.pack("<H", _COMMENT_LENGTH) + b"sha256:"  # its length comes first


def pack(
    model: nn.Module,
    tokenizer: Tokenizer,
    settings: object,
    training: dict[str, Any] | None = None,
    labels: tuple[str, ...] = (),
    pairs: bool = False,
    scale: float | None = None,
) -> dict[str, Any]:
    """The dictionary that `save` writes."""
    content = {
        "format": FORMAT,
        "kind": model.kind,
        "model": model.state_dict(),
        "model_config": to_dict(model.config),
        "tokenizer": torch.from_numpy(np.frombuffer(tokenizer.to_bytes(), np.uint8).copy()),
        "labels": list(labels),
        "pairs": pairs,
        "scale": scale,
        "settings": to_dict(settings),
    }
    return content if training is None else {**content, "training": training}


def save(path: Path, content: dict[str, Any]) -> None:
    """Write to a temporary file, sync, rename: `path` is the old file or the whole new one, never something between.

    Raises ValueError where it cannot be written, as on a full disk; then `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w+b") as file:
            torch.save(
                content, file
            )  # into an open file: only so does a full disk raise with its own reason
            digest = _digest(file, file.tell() - 2)
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
    except (OSError, RuntimeError) as problem:
        untouched = "; the one before it is untouched" if path.exists() else ""
        raise ValueError(
            f"cannot write the checkpoint {path}: {_reason(problem)}{untouched}"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # a disk that has become read-only
            temporary.unlink(missing_ok=True)


def _reason(problem: BaseException) -> str:
    """What the system said. Closing its archive, torch's writer hides that behind a RuntimeError of its own."""
    while not isinstance(problem, OSError) and problem.__context__ is not None:
        problem = problem.__context__
    return getattr(problem, "strerror", None) or str(problem).split("\n")[0]


def _digest(file: BinaryIO, size: int) -> bytes:
    """SHA-256, in hexadecimal, of the first `size` bytes."""
    file.seek(0)
    digest, left = hashlib.sha256(), size
    while left and (block := file.read(min(left, 1 << 22))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


def snapshot(content: Any) -> Any:
    """A copy of nested dicts, lists and tensors on the host, which later steps do not change.

    From a GPU all tensors are under way at once, into pinned memory, and waited for once.
    """
    gpus: set[torch.device] = set()

    def copy(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: copy(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(copy(part) for part in value)
        if not isinstance(value, torch.Tensor):
            return value
        value = value.detach()
        if value.device.type != "cuda":
            return value.to("cpu", copy=True)
        gpus.add(value.device)
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(
            value, non_blocking=True
        )

    copied = copy(content)
    for device in gpus:
        torch.cuda.synchronize(device)
    return copied


def load(path: str | Path, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Read and verify a checkpoint. Runs no code from the file.

    Raises ValueError, in one line, for a file that is missing, cut off, damaged, not a checkpoint, of another version,
    or of a kind that is not in `kinds`.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            sealed = max(0, file.seek(0, os.SEEK_END) - _COMMENT_LENGTH - 2)
            file.seek(sealed)
            comment = file.read()
            whole = (
                comment.startswith(_COMMENT) and _digest(file, sealed) == comment[len(_COMMENT) :]
            )
    except OSError as problem:
        raise ValueError(f"cannot read the checkpoint {path}: {problem.strerror}") from None
    if not comment.startswith(_COMMENT):
        raise ValueError(f"{path} is not a checkpoint of this program, or it was cut off")
    if not whole:
        raise ValueError(
            f"the checkpoint {path} is damaged: its checksum is wrong; take an earlier one"
        )
    try:
        content = read_pickle(path)
    except ValueError as problem:
        raise ValueError(
            f"{path} holds something other than weights and settings, and was not loaded: {problem}"
        ) from None
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{path} is not a checkpoint of this program")
    if type(content["format"]) is not int or content["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {content['format']!r:.60}, this program reads format {FORMAT}"
        )
    if content.get("kind") not in kinds:
        raise ValueError(
            f"{path} holds a model of kind {content.get('kind')!r:.60}; {' or '.join(kinds)} is needed here"
        )
    try:
        _check_parts(content)
    except ValueError as problem:
        raise ValueError(f"{path} is not a checkpoint that this program wrote: {problem}") from None
    return content


def _check_parts(content: dict[str, Any]) -> None:
    """Raises ValueError for a part that is missing, or is not what the functions below take it for."""
    named = lambda values: (
        isinstance(values, dict) and all(isinstance(name, str) for name in values)
    )
    labels, scale, tokens = content.get("labels"), content.get("scale"), content.get("tokenizer")
    sound = {
        "model": named(content.get("model")) and all(map(is_plain, content["model"].values())),
        "model_config": named(content.get("model_config")),
        "settings": named(content.get("settings")),
        "tokenizer": is_plain(tokens) and tokens.dtype == torch.uint8 and tokens.ndim == 1,
        "labels": isinstance(labels, list)
        and all(isinstance(label, str) and is_text(label) for label in labels)
        and (bool(labels) or scale is not None or content["kind"] != "classifier"),
        "pairs": isinstance(content.get("pairs", False), bool),
        "scale": scale is None or (isinstance(scale, (int, float)) and 0 < scale < math.inf),
        "training": named(content.get("training", {})),
    }
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
    prefix = {"electra": "discriminator.", "mlm": "mlm.encoder.", "classifier": "encoder."}[
        content["kind"]
    ]
    embeddings, encoder = model.encoder_state()
    pick = lambda start: {
        name.removeprefix(start): value
        for name, value in content["model"].items()
        if name.startswith(start)
    }
    embeddings.load_state_dict(pick("embeddings."))
    encoder.load_state_dict(pick(prefix))
