"""This project's programs, started as a user starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]  # with train.py, finetune.py and scripts/


def run_program(arguments: tuple[Any, ...], threads: int | None = None) -> str:
    """Run Python with these arguments; returns what it writes to its standard output.

    Raises ValueError with the last line of its messages where it fails.
    """
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)

    done = subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(f"a program that was to be measured failed: {last_line(done.stderr)}")
    return done.stdout


def last_line(text: str) -> str:
    """The last line of what a program says; "?" where it says nothing."""
    return (text.strip().splitlines() or ["?"])[-1]
