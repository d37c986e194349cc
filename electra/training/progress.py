"""How far a pre-training run has come: its steps, its clock, and its counts since the last line of
the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from electra.checkpoint.checkpoint import TrainingState
from electra.data.batch import Batch
from electra.training.distributed import Ranks
from electra.training.metric_sums import add_up, sum_over


class Progress:
    """The part of a run's state that changes with every step, besides weights and moments.

    `start_clock` has to be called before the clock is read.
    """

    def __init__(self, training: TrainingState) -> None:
        """Where a checkpoint left off; `TrainingState()` for a run that begins."""
        self.step = training.step  # optimizer steps done
        # Since the last line of the log:
        self.window: dict[str, Tensor] = training.window  # sums and counts of the steps
        self.padded_tokens = training.padded_tokens  # tokens of the batches, padding included
        self._before = training.seconds, training.window_seconds

    def start_clock(self) -> None:
        """Begin to count seconds, on top of those of the checkpoint."""
        now, (seconds, window_seconds) = time.monotonic(), self._before
        self._began, self._window_began, self._saved_at = now - seconds, now - window_seconds, now

    @property
    def seconds(self) -> float:
        """Seconds in the loop, over all parts of a resumed run."""
        return time.monotonic() - self._began

    @property
    def window_seconds(self) -> float:
        """Seconds of training since the last line of the log, evaluations left out."""
        return time.monotonic() - self._window_began

    def count(self, sums: dict[str, Tensor], batches: list[Batch]) -> None:
        """Count one more step."""
        self.step += 1
        add_up(self.window, sums)
        self.padded_tokens += sum(batch.input_ids.numel() for batch in batches)

    def gather_window(self, ranks: Ranks) -> None:
        """Put what all ranks have counted into the window of the first one."""
        if ranks.world_size > 1:
            total = sum_over(ranks, self.window)
            self.window = {
                name: value if ranks.first else torch.zeros_like(value)
                for name, value in total.items()
            }

    def new_window(self) -> None:
        """Begin to count for the next line of the log."""
        self.window, self.padded_tokens, self._window_began = {}, 0, time.monotonic()

    @contextmanager
    def outside_of_training(self) -> Iterator[None]:
        """What runs inside does not count as time of training."""
        began = time.monotonic()
        yield
        self._window_began += time.monotonic() - began

    def is_save_due(self, save_every: int, save_minutes: float) -> bool:
        """Whether to save after this step: by the steps, or by the time since the last try."""
        waited = time.monotonic() - self._saved_at
        return self.step % save_every == 0 or waited >= 60 * save_minutes

    def has_tried_to_save(self) -> None:
        """Begin to wait for the next save."""
        self._saved_at = time.monotonic()
