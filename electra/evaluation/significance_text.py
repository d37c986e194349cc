"""A comparison of two results as text for people, and as one object for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from electra.evaluation.compared_results import PARTS, Result
from electra.evaluation.significance import LEVEL, Comparison
from electra.files import one_line


def as_text(a: Result, b: Result, compared: Mapping[str, Comparison], samples: int) -> str:
    """The comparison of each part of the data, in points. `samples` is of the bootstrap."""
    lines = [f"{one_line(a.task)}, {a.metric} in points"]
    for name, side in (("A", a), ("B", b)):
        seeds = f"seed{'s' * (len(side.seeds) > 1)} {', '.join(map(str, side.seeds))}"
        lines.append(f"  {name}  {one_line(side.path)}, {seeds}")

    for part in PARTS:
        if part in compared:
            lines += ["", *_lines_of(part, compared[part], samples)]
        elif part in a.scores or part in b.scores:
            lines += ["", f"{part}: only {'A' if part in a.scores else 'B'} has scores"]
    return "\n".join(lines)


def as_object(
    a: Result, b: Result, compared: Mapping[str, Comparison], samples: int, seed: int
) -> dict[str, Any]:
    """The same for JSON, in fractions. A part that was not compared is None."""
    return {
        "task": a.task,
        "metric": a.metric,
        "level": LEVEL,
        "samples": samples,
        "seed": seed,
        "a": {"result": str(a.path), "seeds": a.seeds},
        "b": {"result": str(b.path), "seeds": b.seeds},
        **{part: _object_of(compared[part]) if part in compared else None for part in PARTS},
    }


def verdict(comparison: Comparison) -> str:
    """One sentence: which side is ahead and by how much, or why they cannot be told apart."""
    c = comparison
    if c.ahead:
        return (
            f"{c.ahead} is ahead by {points(abs(c.difference))} points "
            f"(95% interval {_intervals_of_leader(c)})."
        )
    return (
        f"A and B cannot be told apart: the difference is {points(c.difference)} points, "
        f"and {_why_undecided(c)}."
    )


def points(*fractions: float) -> str:
    """Fractions as points with two decimals, joined by "to"."""
    return " to ".join(f"{100 * fraction:z.2f}" for fraction in fractions)


def _intervals_of_leader(c: Comparison) -> str:
    """Both intervals, known ones first, from the leader's side: B ahead by 2, not A by -2."""
    known, unknown = [], []
    for name, interval in (("over seeds", c.over_seeds), ("over examples", c.over_examples)):
        if interval is None:
            unknown.append(f"{name} unknown")
        elif c.ahead == "A":
            known.append(f"{name} {points(interval.low, interval.high)}")
        else:
            known.append(f"{name} {points(-interval.high, -interval.low)}")
    return "; ".join(known + unknown)


def _why_undecided(c: Comparison) -> str:
    intervals = {"over seeds": c.over_seeds, "over examples": c.over_examples}
    known = {name: interval for name, interval in intervals.items() if interval}
    if not known:
        return "nothing here says how much of it is chance"

    with_zero = [name for name, interval in known.items() if interval.low <= 0 <= interval.high]
    if len(with_zero) == 2:
        return f"the 95% intervals {' and '.join(with_zero)} hold 0"
    if with_zero:
        return f"the 95% interval {with_zero[0]} holds 0"
    return "the intervals do not agree"


def _lines_of(part: str, c: Comparison, samples: int) -> list[str]:
    rows = [
        ("A", _mean_and_deviation(*c.a)),
        ("B", _mean_and_deviation(*c.b)),
        ("A - B", points(c.difference)),
    ]
    if seeds := c.over_seeds:
        degrees = f"{seeds.degrees_of_freedom:.1f} degrees of freedom"
        rows.append(("over seeds", f"{points(seeds.low, seeds.high)} (95%, Welch, {degrees})"))
    if examples := c.over_examples:
        drawn = f"{samples:,} resamples of {examples.examples:,} examples"
        outcome = f"A ahead in {examples.a_ahead:.1%}, p = {examples.p:.2g}"
        low_to_high = points(examples.low, examples.high)
        rows.append(("over examples", f"{low_to_high} (95%, {drawn}; {outcome})"))
    rows += [(f"over {name}", f"no interval: {why}") for name, why in c.missing.items()]
    return [part, *(f"  {name:<15}{value}" for name, value in rows), f"  {verdict(c)}"]


def _mean_and_deviation(mean: float, deviation: float | None) -> str:
    return points(mean) + (f" ± {points(deviation)}" if deviation is not None else "")


def _object_of(c: Comparison) -> dict[str, Any]:
    return {
        "a_mean": c.a[0],
        "a_sd": c.a[1],
        "b_mean": c.b[0],
        "b_sd": c.b[1],
        "difference": c.difference,
        "over_seeds": c.over_seeds and c.over_seeds._asdict(),
        "over_examples": c.over_examples and c.over_examples._asdict(),
        "missing": c.missing,
        "ahead": c.ahead,
        "verdict": verdict(c),
    }
