"""Trials as figures: rates, ratios, and the table.

The names in these dictionaries are those of the file of `--json`; a contender's name is "who".
"""

from __future__ import annotations

import statistics
from typing import Any

from electra.benchmark.contender import Trial, Workload

# Columns of the table: the figure that must be there, the title, how the figure is shown.
COLUMNS = (
    ("who", "", "{who}"),
    ("median_seconds", "seconds", "{median_seconds:.2f}"),
    ("megabytes_per_s", "MB/s", "{megabytes_per_s:,.2f}"),
    ("examples_per_s", "examples/s", "{examples_per_s:,.1f}"),
    ("tokens_per_s", "tokens/s", "{tokens_per_s:,.0f}"),
    ("padding", "padding", "{padding:.1%}"),
    ("peak_memory_mb", "peak MB", "{peak_memory_mb:,.0f}"),
    ("limit_share", "of the limit", "{limit_share:.1%}"),
    ("ratio", "ratio", "{ratio:.2f} ({ratio_min:.2f} to {ratio_max:.2f})"),
)


def rates(trials: list[Trial], unit: str) -> list[float]:
    """How many of `unit`, a field of Workload, each trial did in a second."""
    return [getattr(trial.workload, unit) / trial.seconds for trial in trials]


def ratios(ours: list[Trial], theirs: list[Trial], unit: str) -> list[float]:
    """How many times as fast ours is, in each round."""
    pairs = zip(rates(ours, unit), rates(theirs, unit), strict=True)
    return [mine / other for mine, other in pairs]


def summarize(
    name: str,
    ours: list[Trial],
    trials: list[Trial],
    unit: str,
    memory: int | None,
    limit: float | None,
) -> dict[str, Any]:
    """A contender's figures, as medians over its trials.

    Ratios are of the first contender's trials, `ours`, to these; where both are the same list,
    there are none. `memory` in bytes, `limit` in FLOP/s.
    """
    result: dict[str, Any] = {
        "who": name,
        "seconds": [trial.seconds for trial in trials],
        "work": [trial.workload.to_json() for trial in trials],
    }

    first = trials[0].workload
    for field in ("examples", "tokens", "megabytes"):
        if getattr(first, field):
            result[f"{field}_per_s"] = statistics.median(rates(trials, field))
    if first == Workload():  # only the time counts
        result["median_seconds"] = statistics.median(trial.seconds for trial in trials)

    if padded_tokens := sum(trial.workload.padded_tokens for trial in trials):
        result["padding"] = 1 - sum(trial.workload.tokens for trial in trials) / padded_tokens
    if memory:
        result["peak_memory_mb"] = memory / 1e6
    if limit:
        result["limit_share"] = statistics.median(rates(trials, "flops")) / limit
    if trials is not ours:
        result |= _compare(ratios(ours, trials, unit), unit)
    return result


def _compare(paired: list[float], unit: str) -> dict[str, Any]:
    return {
        "ratio": statistics.median(paired),
        "ratio_min": min(paired),
        "ratio_max": max(paired),
        "ratios": paired,
        "ratio_of": f"{unit}_per_s",
    }


def table(summaries: list[dict[str, Any]]) -> str:
    """The figures in columns. A column in which nobody has a figure is left out."""
    columns = [column for column in COLUMNS if any(column[0] in values for values in summaries)]

    rows = [[title for _, title, _ in columns]]
    for values in summaries:
        rows.append(
            [shown.format_map(values) if name in values else "" for name, _, shown in columns]
        )

    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
