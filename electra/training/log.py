"""metrics.jsonl, and TensorBoard where it is installed."""

from __future__ import annotations

import contextlib
import json
import math
import os
from io import RawIOBase
from pathlib import Path
from typing import Any

from tqdm import tqdm


class MetricsLog:
    """`metrics.jsonl`: one object a line, with `step`, `split` and figures.

    TensorBoard gets them too, where its package is installed. A disk on which nothing can be
    written does not stop the run: the lines wait in memory.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after `step`: lines of later steps, of a run that was killed, are removed."""
        self.path = folder / "metrics.jsonl"
        self.lines: list[str] = []  # all of them, some hundred bytes each
        if self.path.exists():
            self.lines = [
                line for line in self.path.read_text().splitlines() if _step_of(line) <= step
            ]
            temporary = self.path.with_name(f".metrics.{os.getpid()}")
            temporary.write_text("".join(line + "\n" for line in self.lines))
            os.replace(temporary, self.path)
        self.on_disk = len(self.lines)
        self.failing = False
        self.board: Any = None  # a SummaryWriter
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Add a line. What cannot be written waits for the next one."""
        record = {
            "step": step,
            "split": split,
            **{name: _rounded(value) for name, value in values.items()},
        }
        self.lines.append(json.dumps(record))
        self.flush()
        self._write_board(step, split, values)

    def _write_board(self, step: int, split: str, values: dict[str, Any]) -> None:
        """The same for TensorBoard, where it is installed; it is given up where that fails."""
        if self.board is None:
            return
        try:
            for name, value in values.items():
                self.board.add_scalar(f"{split}/{name}", value, step)
            self.board.flush()
        except OSError as problem:
            tqdm.write(
                f"cannot write for TensorBoard: {problem.strerror or problem}; "
                f"it gets no more figures"
            )
            self.board = None

    def flush(self) -> None:
        """Write the lines that the file lacks; all of them, where it was removed.

        Where they cannot be written, that is said once, and they wait for the next time.
        """
        try:
            with open(self.path, "ab", buffering=0) as file:
                if file.tell() == 0:
                    self.on_disk = 0
                lines = "".join(line + "\n" for line in self.lines[self.on_disk :])
                _append(file, lines.encode())
        except OSError as problem:
            if not self.failing:
                tqdm.write(
                    f"cannot write {self.path}: {problem.strerror}; "
                    f"its lines wait for the next time"
                )
            self.failing = True
        else:
            self.on_disk, self.failing = len(self.lines), False


def _append(file: RawIOBase, data: bytes) -> None:
    """Write all of `data` at the end of an unbuffered file, or none of it. Raises OSError."""
    size = file.tell()
    try:
        while data:  # a disk that fills up takes a part first
            data = data[file.write(data) or 0 :]
    except OSError:
        file.truncate(size)
        raise


def _rounded(value: Any) -> Any:
    """A float to six digits; anything else as it is."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _step_of(line: str) -> float:
    """The step of a line; infinity for one that a kill cut off."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):
        return math.inf
