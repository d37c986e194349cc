"""metrics.jsonl, and TensorBoard where it is installed."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from tqdm import tqdm


class MetricsLog:
    """`metrics.jsonl`: one object a line, with `step`, `split` and figures; TensorBoard events too, where the package
    is installed. A disk on which it cannot be written stops nobody: the lines wait in memory."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after `step`: lines of later steps, which a killed run wrote after its last checkpoint, go away."""
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
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        except ImportError:
            self.board = None

    def write(self, step: int, split: str, values: dict[str, Any]) -> None:
        record = {
            "step": step,
            "split": split,
            **{name: _rounded(value) for name, value in values.items()},
        }
        self.lines.append(json.dumps(record))
        self.flush()
        if self.board is not None:
            try:
                for name, value in values.items():
                    self.board.add_scalar(f"{split}/{name}", value, step)
                self.board.flush()
            except OSError as problem:
                tqdm.write(
                    f"cannot write for TensorBoard: {problem.strerror or problem}; it gets no more figures"
                )
                self.board = None

    def flush(self) -> None:
        """Write the lines that the file lacks: all of them, where it was removed. What cannot be written is said once,
        and waits for the next time."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                size = file.tell()
                if size == 0:
                    self.on_disk = 0
                left = "".join(line + "\n" for line in self.lines[self.on_disk :]).encode()
                try:
                    while left:  # a disk that fills up takes a part first
                        left = left[file.write(left) :]
                except OSError:
                    file.truncate(size)
                    raise
        except OSError as problem:
            if not self.failing:
                tqdm.write(
                    f"cannot write {self.path}: {problem.strerror}; its lines wait for the next time"
                )
            self.failing = True
        else:
            self.on_disk, self.failing = len(self.lines), False


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError):  # a line that a kill cut off
        return math.inf
