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
import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import struct
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

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
        with open(temporary, "w+b") as file:
            torch.save(content, file)   # into an open file: only so does a full disk raise with its own reason
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
        raise ValueError(f"cannot write the checkpoint {path}: {_reason(problem)}{untouched}") from None
    finally:
        with contextlib.suppress(OSError):   # a disk that has become read-only
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
        return torch.empty_like(value, device="cpu", pin_memory=True).copy_(value, non_blocking=True)

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
            whole = comment.startswith(_COMMENT) and _digest(file, sealed) == comment[len(_COMMENT):]
    except OSError as problem:
        raise ValueError(f"cannot read the checkpoint {path}: {problem.strerror}") from None
    if not comment.startswith(_COMMENT):
        raise ValueError(f"{path} is not a checkpoint of this program, or it was cut off")
    if not whole:
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
    """Give `source` the second name `target` without writing it twice. Raises OSError."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:   # a file system without links
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)   # there still, too, where both were one file before


def numbered(folder: Path) -> dict[int, Path]:
    """The ckpt-<step>.pt of a run folder by step, the newest first."""
    found = {int(match[1]): path for path in folder.glob("ckpt-*.pt")
             if (match := re.fullmatch(r"ckpt-([0-9]+)\.pt", path.name))}
    return dict(sorted(found.items(), reverse=True))


def of_run(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, the newest first."""
    newest = folder / "ckpt.pt"
    return [newest] * newest.exists() + list(numbered(folder).values())


def load_newest(folder: Path, kinds: tuple[str, ...]) -> tuple[dict[str, Any], str | None]:
    """The newest whole checkpoint of a run folder and, where that is not its ckpt.pt, a line that says why.

    Raises the ValueError of ckpt.pt where none is whole. A second name of a damaged file is not read again.
    """
    newest = folder / "ckpt.pt"
    try:
        return load(newest, kinds), None
    except ValueError as problem:
        for path in of_run(folder):
            if not (newest.exists() and path.samefile(newest)):
                with contextlib.suppress(ValueError):
                    return load(path, kinds), f"{problem}; going on from {path} instead"
        raise


class RunFolder:
    """`runs/NAME/`, held by one process at a time through a lock that dies with it.

    Checkpoints are written by a thread while training goes on. ckpt.pt and the newest ckpt-<step>.pt are one file under
    two names, since a copy would cost its size once more; so it is the one before it on which a resume falls back.
    """

    def __init__(self, path: str | Path, resume: bool = False, replace: bool = False) -> None:
        """Open a new folder, or with `resume` one that is there; `replace` takes over what an earlier run left.

        Raises ValueError where the folder is there and should not be, or is not and should, or is in use.
        """
        self.path = Path(path)
        self.checkpoint = self.path / "ckpt.pt"
        if resume and not of_run(self.path):
            raise ValueError(f"there is nothing to resume in {self.path}: it has no ckpt.pt")
        self._lock = self._take_lock()
        if (self.path / "config.json").exists() and not resume and not replace:
            self._lock.close()
            raise ValueError(f"the run folder {self.path} is already there; {self._way_on()} or choose another --out")
        for path in self.path.iterdir():
            if re.fullmatch(r"\..+\.[0-9]+", path.name) and path.is_file():   # half a file, of a process that was killed
                path.unlink()
        # What has to be written again, should somebody remove the folder.
        self._small = {name: (self.path / name).read_bytes() for name in ("config.json", "tokenizer.model")
                       if resume and (self.path / name).exists()}
        self._writer = ThreadPoolExecutor(1)
        self._saving: Future | None = None
        self.saved_step: int | None = None   # by this process

    def _take_lock(self) -> BinaryIO:
        """Make the folder where it is not there, and lock it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "wb")
        except OSError as problem:
            raise ValueError(f"cannot write in the run folder {self.path}: {problem.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ValueError(f"the run folder {self.path} is in use by another process; choose another --out") from None
        return lock

    def _way_on(self) -> str:
        if not of_run(self.path):
            return "it has no checkpoint: remove it,"
        pretraining = "corpus" in json.loads((self.path / "config.json").read_text())
        return "go on with --resume" if pretraining else "replace it with --force"

    def write(self, name: str, data: bytes) -> None:
        """Write a small file whole or not at all."""
        write_atomically(self.path / name, data)
        self._small[name] = data

    def write_json(self, name: str, content: object) -> None:
        self.write(name, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def save(self, content: dict[str, Any], step: int, keep: int) -> None:
        """Copy the state as it is now and return. A thread writes it as ckpt.pt and as ckpt-<step>.pt, of which the
        newest `keep` stay. The save before has to be settled."""
        assert self._saving is None
        self._saving = self._writer.submit(self._write, snapshot(content), step, keep)

    def settle(self, wait: bool = True) -> str | None:
        """What went wrong with the last save: None where nothing did, where that was told already, or where it is under
        way still and `wait` is False. Raises what is not the disk's fault but ours."""
        if self._saving is None or not (wait or self._saving.done()):
            return None
        try:
            self._saving.result()
        except ValueError as problem:
            return str(problem)
        finally:
            self._saving = None
        return None

    def _write(self, content: dict[str, Any], step: int, keep: int) -> None:
        """In the thread. Raises ValueError, in one line, where something cannot be written."""
        try:
            self._make_again()
            save(self.checkpoint, content)
            self.saved_step = step
            if keep:
                link(self.checkpoint, self.path / f"ckpt-{step}.pt")
            there = numbered(self.path)
            # Later steps are of a part of the run that a resume from an earlier checkpoint has given up.
            stay = [number for number in there if number <= step][:keep]
            for number, path in there.items():
                if number not in stay:
                    path.unlink()
        except OSError as problem:
            raise ValueError(f"cannot write in the run folder {self.path}: {problem.strerror}") from None

    def _make_again(self) -> None:
        """Make a folder that was removed anew, with its small files, and say so. Raises ValueError where another run has
        it."""
        mark = self.path / ".lock"
        if mark.exists() and os.path.samestat(mark.stat(), os.fstat(self._lock.fileno())):
            return
        lock = self._take_lock()
        settings = self.path / "config.json"
        if settings.exists() and settings.read_bytes() != self._small.get("config.json"):
            lock.close()
            raise ValueError(f"the run folder {self.path} has become another run's")
        tqdm.write(f"the run folder {self.path} was removed; it is made again, without earlier checkpoints")
        for name, data in self._small.items():
            write_atomically(self.path / name, data)
        self._lock.close()
        self._lock = lock

    def close(self) -> None:
        """Wait for a save that is under way, and let the folder go."""
        self._writer.shutdown()
        self._lock.close()
