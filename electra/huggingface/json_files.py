"""JSON files in the folder of a released checkpoint."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is no such file. Raises ValueError for anything else.

    A byte-order mark, which editors on Windows put before UTF-8, is skipped.
    """
    if not path.is_file():
        return {}
    return parse_json_object(path.read_bytes().removeprefix(codecs.BOM_UTF8), str(path))


def parse_json_object(data: bytes, name: str) -> dict[str, Any]:
    """Bytes -> a JSON object. Raises ValueError, with `name`, for anything else."""
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError):  # also for bytes that are not UTF-8, and for huge numbers
        raise ValueError(f"{name} is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} is not a JSON object")
    return content
