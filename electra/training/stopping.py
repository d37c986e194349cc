"""Stopping a run: by a signal, or because its loss is not finite any more."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from types import FrameType
from typing import Any

from electra.training import distributed
from electra.training.loss_scale import LossScale

NON_FINITE_LIMIT = 20  # steps in a row
SAME_SIGNAL = 1.0  # seconds within which a second signal is taken for the first one


class StopSignals:
    """While this context is open, SIGINT, SIGTERM and SIGHUP only ask for a stop.

    The loop looks at `asked` after each step, so that the step is finished and saved. A second
    SIGINT or SIGTERM stops at once. SIGHUP, which a closed terminal sends, never does: several come
    together. A run under nohup, which ignores it, goes on; torchrun does not, so its runs save.
    """

    def __init__(self) -> None:
        self.asked_at: float | None = None  # on the monotonic clock
        self._hung_up = False  # whether the first signal was SIGHUP
        self._handlers: dict[signal.Signals, Any] = {}  # of the process, to be put back

    @property
    def asked(self) -> bool:
        """Whether a signal has come."""
        return self.asked_at is not None

    def __enter__(self) -> StopSignals:
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        if ignored and not distributed.started_by_torchrun():
            numbers.remove(signal.SIGHUP)
        for number in numbers:
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *problem: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Ask for a stop; raise KeyboardInterrupt at a second signal."""
        now = time.monotonic()
        if self.asked_at is None:
            self.asked_at, self._hung_up = now, number == signal.SIGHUP
            _say("finishing the step and saving ...")
            return

        # torchrun passes on a signal that the terminal has sent already, and what closes a session
        # sends SIGTERM after SIGHUP.
        several = distributed.started_by_torchrun() or self._hung_up
        if number == signal.SIGHUP or (several and now < self.asked_at + SAME_SIGNAL):
            return
        raise KeyboardInterrupt


def _say(line: str) -> None:
    """Print a line from a signal handler.

    Python's streams refuse to be entered a second time, so this writes past them. What cannot be
    written is dropped.
    """
    with contextlib.suppress(OSError, ValueError):
        descriptor = sys.stdout.fileno()
        begin = "\n" if os.isatty(descriptor) else ""  # below the bar
        os.write(descriptor, f"{begin}{line}\n".encode())


def stop_if_not_finite(scale: LossScale, step: int, out: str | None) -> None:
    """Raise ValueError where no gradient of the last steps was finite. Waits for the device."""
    if scale.bad_in_row >= NON_FINITE_LIMIT:
        raise ValueError(
            f"the loss or its gradient was not finite {NON_FINITE_LIMIT} steps in a row, until "
            f"step {step:,}; lower --lr, or try --amp off. {out}/ckpt.pt is of before, if the run "
            f"had saved one"
        )
