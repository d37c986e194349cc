"""Memory of a tree of processes. Only Linux tells it."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.05


def tree_peak(run: Callable[[], object], itself: bool = True) -> int | None:
    """The most bytes that this process and all below it hold during `run`; None off Linux.

    With `itself` False, this process does not count. Looking takes time, so that such a turn must
    not be one of those that are timed.
    """
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, tree_memory(os.getpid(), itself))
            if over.wait(SECONDS_BETWEEN_LOOKS):
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        over.set()
        watcher.join()
    return peak or None


def tree_memory(root: int, itself: bool) -> int:
    """Bytes that the process `root` and all below it hold now.

    With `itself` False, `root` does not count. This is the proportional set size of Linux, in
    which a page that several processes share counts once.
    """
    own = _command_line(root)
    total = 0

    for process in _tree(root) if itself else _tree(root)[1:]:
        with contextlib.suppress(OSError):  # the process may have ended
            # A process that is just starting has its parent's program, and its parent's memory.
            if process == root or _command_line(process) != own:
                total += _proportional_set_size(process)

    return total


def _tree(root: int) -> list[int]:
    """`root` first, then all processes below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process may have ended
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))

    tree = [root]
    for process in tree:  # which grows meanwhile
        tree += children.get(process, [])
    return tree


def _command_line(process: int) -> bytes:
    return Path(f"/proc/{process}/cmdline").read_bytes()


def _proportional_set_size(process: int) -> int:
    """Bytes; 0 where the process is just starting or ending. Raises OSError where it has ended."""
    text = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
