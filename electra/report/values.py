"""Values of the results as text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from math import isfinite
from statistics import fmean, stdev
from typing import Any

Json = dict[str, Any]

MISSING = "–"
TASK_NAMES = {"imdb": "IMDb", "sst2": "SST-2", "csv": "CSV"}  # other tasks keep their name

# Characters that act on the text around them: control characters, surrogates, changes of direction.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def printable(text: str) -> str:
    return UNPRINTABLE.sub("\ufffd", text)


def markdown_cell(text: str) -> str:
    """Text for a cell of a GitHub table: one line without markup."""
    line = html.escape(" ".join(printable(text).split()), quote=False)
    return re.sub(r"([\\`*_~|\[\]])", r"\\\1", line)


def clip(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def unit_of(n: float) -> tuple[float, str]:
    """The unit in which a number is short, and its sign: 1e6 and " M"."""
    return next(
        (unit for unit in ((1e12, " T"), (1e9, " B"), (1e6, " M")) if n >= unit[0]), (1, "")
    )


def quantity(n: float) -> str:
    unit, sign = unit_of(n)
    return f"{n / unit:,.1f}{sign}" if sign else f"{n:,.0f}"


def mean_sd(values: Sequence[float]) -> str:
    """Mean ± sample standard deviation; one value, and infinity or nan, have no deviation."""
    spread = len(values) > 1 and all(map(isfinite, values))
    deviation = f" ± {stdev(values):.2f}" if spread else ""
    return f"{fmean(values):.2f}{deviation}" if values else MISSING
