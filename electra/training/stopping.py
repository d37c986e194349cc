"""Stopping a run: by a signal, or because its loss is not finite any more."""

from __future__ import annotations

import signal
import time
from types import FrameType
from typing import Any

from tqdm import tqdm

from electra.training import distributed
from electra.training.loss_scale import LossScale

NON_FINITE_LIMIT = 20  # steps in a row
SAME_SIGNAL = 1.0  # seconds within which a second signal is taken for the first one


class StopSignals:
    """While this context is open, SIGINT and SIGTERM only ask for a stop; a second one is at once.

    The loop looks at `asked` after each step, so that the step is finished and saved.
    """

    def __init__(self) -> None:
        self.asked_at: float | None = None  # on the monotonic clock
        self._handlers: dict[signal.Signals, Any] = {}  # of the process, to be put back

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.asked_at is not None

    def __enter__(self) -> StopSignals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask for a stop; raise KeyboardInterrupt at a second signal."""
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at = now
            tqdm.write("finishing the step and saving …")
            return

        # torchrun passes on a signal that the terminal has sent already.
        if distributed.started_by_torchrun() and now < self.asked_at + SAME_SIGNAL:
            return
        raise KeyboardInterrupt


def stop_if_not_finite(scale: LossScale, step: int, out: str | None) -> None:
    """Raise ValueError where no gradient of the last steps was finite. Waits for the device."""
    if scale.bad_in_row >= NON_FINITE_LIMIT:
        raise ValueError(
            f"the loss or its gradient was not finite {NON_FINITE_LIMIT} steps in a row, until "
            f"step {step:,}; lower --lr, or try --amp off. {out}/ckpt.pt is of before, if the run "
            f"had saved one"
        )
