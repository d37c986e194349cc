"""Shows that long work goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

FIRST_LINE, NEXT_LINES = 30.0, 60.0  # seconds, where there is no terminal
REFRESH = 0.5  # seconds between two looks of the bar


class Waiting:
    """A bar on a terminal; elsewhere, as in the log of a job, a line a minute once it takes long.

    Without a `total` it shows only the time.
    """

    def __init__(
        self,
        what: str,
        total: int | None = None,
        unit: str = "B",
        keep: bool = True,
        silent: bool = False,
    ) -> None:
        """total: how many units there are to do. keep: whether a bar with a total stays when it is
        full. silent: nothing is shown, as on all ranks but the first."""
        self.what, self.total, self.n = what, total, 0
        time_alone = None if total else "{desc}: {elapsed}"
        self.bar = tqdm(
            total=total,
            unit=unit,
            unit_scale=unit == "B",
            desc=what,
            disable=True if silent else None,
            leave=total is not None and keep,
            bar_format=time_alone,
        )
        self._began = self._shown = time.monotonic()
        self._next_line = math.inf if silent else self._began + FIRST_LINE

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
            print(f"{self.what}: {self._how_far(now - self._began)} …", flush=True)

    def _how_far(self, seconds: float) -> str:
        """What is done after so long, and what is left at this speed."""
        after = f"after {seconds:.0f} s"
        if not self.total:
            return after
        to_go = f", {seconds / self.n * (self.total - self.n):.0f} s to go" if self.n else ""
        return f"{self.n / self.total:.0%} {after}{to_go}"

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """The items, each of them counted as one unit when it is done with."""
        with self:
            for item in items:
                yield item
                self.update(1)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *problem: object) -> None:
        self.bar.close()
