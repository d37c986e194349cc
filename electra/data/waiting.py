"""Shows that long work goes on."""

from __future__ import annotations

import time

from tqdm import tqdm

FIRST_LINE, NEXT_LINES = 30.0, 60.0  # seconds, where there is no terminal
REFRESH = 0.5  # seconds between two looks of the bar


class Waiting:
    """A bar on a terminal; elsewhere, as in the log of a job, a line a minute once it takes long.

    Without a `total` it shows only the time.
    """

    def __init__(self, what: str, total: int | None = None, unit: str = "B") -> None:
        """total: how many units there are to do."""
        self.what, self.total, self.n = what, total, 0
        time_alone = None if total else "{desc}: {elapsed}"
        self.bar = tqdm(
            total=total,
            unit=unit,
            unit_scale=True,
            desc=what,
            disable=None,
            leave=total is not None,
            bar_format=time_alone,
        )
        self._began = self._shown = time.monotonic()
        self._next_line = self._began + FIRST_LINE

    def update(self, done: int = 0) -> None:
        """Count units that are done, and show the time; cheap enough to be called often."""
        if done:
            self.n += done
            self.bar.update(done)
        now = time.monotonic()
        if now < self._shown + REFRESH:
            return
        self._shown = now
        self.bar.refresh()
        if self.bar.disable and now >= self._next_line:
            self._next_line = now + NEXT_LINES
            share = f" {self.n / self.total:.0%}" if self.total else ""
            print(f"{self.what}:{share} after {now - self._began:.0f} s …", flush=True)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *problem: object) -> None:
        self.bar.close()
