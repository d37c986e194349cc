"""The run folder: who may write in it, its checkpoints, and the newest one that is whole."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tqdm import tqdm

from electra.checkpoint import storage
from electra.checkpoint.checkpoint import Checkpoint, snapshot
from electra.files import is_encodable, write_atomically


def link(source: Path, target: Path) -> None:
    """Give `source` the second name `target` without writing it twice. Raises OSError."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        try:
            os.link(source, temporary)
        except OSError:  # a file system without links
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        # It is still there too where both names were of one file before.
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def numbered(folder: Path) -> dict[int, Path]:
    """The ckpt-<step>.pt of a run folder by step, the newest first."""
    found = {
        int(match[1]): path
        for path in folder.glob("ckpt-*.pt")
        if (match := re.fullmatch(r"ckpt-([0-9]+)\.pt", path.name))
    }
    return dict(sorted(found.items(), reverse=True))


def of_run(folder: Path) -> list[Path]:
    """The checkpoints of a run folder, the newest first."""
    newest = folder / "ckpt.pt"
    return [newest] * newest.exists() + list(numbered(folder).values())


class NewestCheckpoint(NamedTuple):
    """The newest whole checkpoint of a run folder."""

    checkpoint: Checkpoint
    path: Path  # the file that it was read from
    warning: str | None  # a line that says why this is not ckpt.pt; None where it is


def load_newest(folder: Path, kinds: tuple[str, ...]) -> NewestCheckpoint:
    """The newest whole checkpoint of a run folder: its ckpt.pt, or an earlier one.

    Raises the ValueError of ckpt.pt where none is whole. A second name of a damaged file is not
    read again.
    """
    newest = folder / "ckpt.pt"
    try:
        return NewestCheckpoint(storage.load_checkpoint(newest, kinds), newest, None)
    except ValueError as problem:
        for path in of_run(folder):
            if newest.exists() and path.samefile(newest):
                continue
            with contextlib.suppress(ValueError):
                earlier = storage.load_checkpoint(path, kinds)
                warning = f"{problem}; going on from {path} instead"
                return NewestCheckpoint(earlier, path, warning)
        raise


class RunFolder:
    """`runs/NAME/`, held by one process at a time through a lock that dies with it.

    A thread writes checkpoints while training goes on. ckpt.pt and the newest ckpt-<step>.pt are
    one file under two names, since a copy would cost its size once more. So a resume falls back on
    the checkpoint before that one.
    """

    def __init__(self, path: str | Path, resume: bool = False, replace: bool = False) -> None:
        """Open a new folder, or with `resume` one that is there.

        replace: take over what an earlier run left. Raises ValueError where the folder is there and
        should not be, or is not and should, or is in use.
        """
        self.path = Path(path)
        self.checkpoint = self.path / "ckpt.pt"
        if resume and not of_run(self.path):
            raise ValueError(f"there is nothing to resume in {self.path}: it has no ckpt.pt")
        self._lock = self._take_lock()
        if (self.path / "config.json").exists() and not resume and not replace:
            self._lock.close()
            raise ValueError(
                f"the run folder {self.path} is already there; {self._suggest_next_command()} "
                f"or choose another --out"
            )
        self._remove_halves()

        # What has to be written again, should somebody remove the folder.
        self._small = {
            name: (self.path / name).read_bytes()
            for name in ("config.json", "tokenizer.model")
            if resume and (self.path / name).exists()
        }
        self._writer = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        self.saved_step: int | None = None  # by this process

    def _take_lock(self) -> BinaryIO:
        """Make the folder where it is not there, and lock it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "wb")  # noqa: SIM115, it is open until `close`
        except OSError as problem:
            raise ValueError(
                f"cannot write in the run folder {self.path}: {problem.strerror}"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ValueError(
                f"the run folder {self.path} is in use by another process; choose another --out"
            ) from None
        return lock

    def _suggest_next_command(self) -> str:
        """What a user can do who finds a run in the folder."""
        if not of_run(self.path):
            return "it has no checkpoint: remove it,"
        pretraining = "corpus" in json.loads((self.path / "config.json").read_text())
        return "go on with --resume" if pretraining else "replace it with --force"

    def _remove_halves(self) -> None:
        """Remove files that a killed process has left half written."""
        for path in self.path.iterdir():
            if re.fullmatch(r"\..+\.[0-9]+", path.name) and path.is_file():
                path.unlink()

    def write(self, name: str, data: bytes) -> None:
        """Write a small file whole or not at all."""
        write_atomically(self.path / name, data)
        self._small[name] = data

    def write_json(self, name: str, content: object) -> None:
        """As `write`, of plain values."""
        text = json.dumps(content, indent=1, ensure_ascii=False)
        if not is_encodable(text):  # the name of a file that Python could not decode
            text = json.dumps(content, indent=1)
        self.write(name, (text + "\n").encode())

    def save(self, checkpoint: Checkpoint, step: int, keep: int) -> None:
        """Copy a checkpoint as it is now and return; a thread writes it.

        It becomes ckpt.pt and ckpt-<step>.pt, of which the newest `keep` stay. The save before it
        has to have been waited for.
        """
        assert self._saving is None
        self._saving = self._writer.submit(self._write, snapshot(checkpoint), step, keep)

    def wait_for_save(self, wait: bool = True) -> str | None:
        """What went wrong with the last save.

        None where nothing did, where that was told already, or where it is still under way and
        `wait` is False. Raises what is not the disk's fault but ours.
        """
        if self._saving is None or not (wait or self._saving.done()):
            return None
        try:
            self._saving.result()
        except ValueError as problem:
            return str(problem)
        finally:
            self._saving = None
        return None

    def _write(self, checkpoint: Checkpoint, step: int, keep: int) -> None:
        """In the thread. Raises ValueError, in one line, where something cannot be written."""
        try:
            self._make_again()
            storage.save_checkpoint(self.checkpoint, checkpoint)
            self.saved_step = step
            if keep:
                link(self.checkpoint, self.path / f"ckpt-{step}.pt")

            # Later steps are of a part of the run that was given up: it resumed from before them.
            there = numbered(self.path)
            stay = [number for number in there if number <= step][:keep]
            for number, path in there.items():
                if number not in stay:
                    path.unlink()
        except OSError as problem:
            raise ValueError(
                f"cannot write in the run folder {self.path}: {problem.strerror}"
            ) from None

    def _make_again(self) -> None:
        """Where the folder was removed, make it again with its small files, and say so.

        Raises ValueError where another run has it.
        """
        mark = self.path / ".lock"
        if mark.exists() and os.path.samestat(mark.stat(), os.fstat(self._lock.fileno())):
            return
        lock = self._take_lock()
        settings = self.path / "config.json"
        if settings.exists() and settings.read_bytes() != self._small.get("config.json"):
            lock.close()
            raise ValueError(f"the run folder {self.path} has become another run's")
        tqdm.write(
            f"the run folder {self.path} was removed; it is made again, without earlier checkpoints"
        )
        for name, data in self._small.items():
            write_atomically(self.path / name, data)
        self._lock.close()
        self._lock = lock

    def close(self) -> None:
        """Wait for a save that is under way, and let the folder go."""
        self._writer.shutdown()
        self._lock.close()
