"""Child processes: how many this process may use, and that they end with it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
LOOK_EVERY = 0.5  # seconds


def available_cores() -> int:
    """The cores that this process may use: its affinity and its container's quota; at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    quota = cpu_quota()
    return cores if math.isinf(quota) else max(1, min(cores, math.ceil(quota)))


def cpu_quota(root: Path = CGROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """The cores' worth of time that the control groups of this process leave it; infinity if all.

    A group has at most what the groups above it have. Both versions of control groups are read:
    cpu.max of the second, cpu.cfs_quota_us of the first.
    """
    quota = math.inf
    for line in _read(own).splitlines():
        _, controllers, group = (line.split(":", 2) + ["", ""])[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        # A container may see its own group as the root, under the name that it has outside.
        top = root / "cpu" if controllers else root
        folder = Path(os.path.normpath(top / group.lstrip("/")))
        for place in {top, folder, *(one for one in folder.parents if one.is_relative_to(top))}:
            quota = min(quota, _quota_of(place))
    return quota


def _quota_of(group: Path) -> float:
    """The quota of one control group, in cores; infinity where it has none."""
    words = _read(group / "cpu.max").split()
    words = words or [
        word
        for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        for word in _read(group / name).split()
    ]
    try:
        microseconds, period = map(int, words)  # "max 100000" and "-1 100000" are no quota
    except ValueError:
        return math.inf
    return microseconds / period if microseconds > 0 and period > 0 else math.inf


def _read(path: Path) -> str:
    """The content of a small file; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def interrupts_for_parent_alone() -> Iterator[None]:
    """Child processes that start inside never get Ctrl-C; their parent ends them itself.

    A terminal sends it to all of them. One that comes meanwhile reaches the parent at the end.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(parent: int) -> None:
    """Called in a child: a thread ends it when its parent, a process id, is gone.

    A parent that is killed cannot end its children itself.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
