"""Say whether one fine-tuning is ahead of another on the same task, or whether chance could have done it.

    python scripts/compare.py runs/sst2-electra/result.json runs/sst2-bert/result.json
    python scripts/compare.py A/result.json B/result.json --samples 100000 --json

Chance comes in twice, and gets an interval of 95% each time, for A - B on the task's main metric:

* over seeds (another head, another order of the data): Welch's t interval for the difference of two means;
* over examples (another dev set of the same kind): a paired bootstrap, which draws the examples with replacement and
  scores both sides on the same draw, each as the mean of its seeds; the interval is of percentiles. It reads
  dev_predictions.tsv and test_predictions.tsv beside each result.json. Accuracy takes no time; for other metrics every
  resample is scored, which can take a minute.

One of the two is called ahead where every interval that can be had leaves out 0. One seed has no spread, so then the
other interval decides alone; it speaks of those two trained models only.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra.cli import Parser, one_line
from electra.evaluation import metrics
from electra.evaluation.results import Predictions, read_every_seed

PARTS = ("dev", "test")
ON_NUMBERS = ("pearson", "spearman")
LEVEL = 0.95
FEWEST_SAMPLES = 100  # fewer leave two draws beyond an end of the interval
ROUNDING = 1e-6  # between a score in result.json and the same score from the predictions


class Result(NamedTuple):
    """What a result.json says. `scores[part]` has one score for each of `seeds`; a part without scores is not in it."""

    path: Path
    task: str
    metric: str
    labels: tuple[str, ...]  # in the order of the classes; none where the file does not name them
    seeds: tuple[int, ...]
    scores: dict[str, tuple[float, ...]]


class OverSeeds(NamedTuple):
    low: float
    high: float
    degrees_of_freedom: float


class OverExamples(NamedTuple):
    low: float
    high: float
    examples: int
    a_ahead: float  # share of the resamples in which A scores above B
    p: float  # two-sided


class Comparison(NamedTuple):
    """One part of the data. Scores are fractions; `difference` and both intervals are of A - B."""

    a: tuple[float, float | None]  # mean and standard deviation over the seeds
    b: tuple[float, float | None]
    difference: float
    over_seeds: OverSeeds | None
    over_examples: OverExamples | None
    missing: dict[str, str]  # why an interval is not there
    ahead: str | None  # "A", "B", or None: cannot be told apart
    verdict: str


def main(argv: list[str] | None = None) -> int:
    """Run with a command line; returns the exit code: 0, or 2 after one line that names a mistake."""
    try:
        run(parse_args(argv))
    except (ValueError, OSError) as problem:
        print(f"compare.py: error: {one_line(problem)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="compare.py", description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("a", type=Path, metavar="A", help="result.json of finetune.py")
    parser.add_argument(
        "b", type=Path, metavar="B", help="result.json of another run on the same task"
    )
    parser.add_argument(
        "--samples", type=int, default=10_000, help="resamples of the bootstrap (default: 10000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the resamples (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one object, scores as fractions")
    args = parser.parse_args(argv)
    if args.samples < FEWEST_SAMPLES:
        parser.error(f"--samples must be {FEWEST_SAMPLES} or more, not {args.samples}")
    if args.seed < 0:
        parser.error(f"--seed must be 0 or more, not {args.seed}")
    return args


def run(args: argparse.Namespace) -> None:
    a, b = read_result(args.a), read_result(args.b)
    for what in ("task", "metric", "labels"):
        if getattr(a, what) != getattr(b, what):
            raise ValueError(
                f"{a.path} and {b.path} cannot be compared: {what} {getattr(a, what)!r} and "
                f"{getattr(b, what)!r}"
            )
    found = {
        part: compare(a, b, part, args.samples, args.seed)
        for part in PARTS
        if part in a.scores and part in b.scores
    }
    if args.json:
        print(json.dumps(as_object(args, a, b, found)))
    else:
        print(as_text(args, a, b, found))


def compare(a: Result, b: Result, part: str, samples: int, seed: int) -> Comparison:
    """One part of the data. ValueError where the predictions are not of the same examples, or not of these results."""
    missing = {}
    over_seeds = welch(a.scores[part], b.scores[part])
    if over_seeds is None:
        single = [name for name, side in (("A", a), ("B", b)) if len(side.seeds) == 1]
        missing["seeds"] = (
            f"{' and '.join(single)} with one seed, which has no spread"
            if single
            else "in A and in B every seed scores the same, so there is no spread"
        )
    of_a, of_b = read_predictions(a, part), read_predictions(b, part)
    if of_a is None or of_b is None:
        over_examples = None
        absent = [table_path(side, part) for side, table in ((a, of_a), (b, of_b)) if table is None]
        missing["examples"] = "no " + " and no ".join(map(one_line, absent))
    else:
        check_same_examples(a, b, part, of_a, of_b)
        rng = np.random.default_rng(
            seed
        )  # anew, so that no part's figures hang on there being another
        over_examples = bootstrap(a.metric, *as_arrays(a, b, part, of_a, of_b), samples, rng)
    mean_a, mean_b = float(np.mean(a.scores[part])), float(np.mean(b.scores[part]))
    ahead = leader(mean_a - mean_b, over_seeds, over_examples)
    return Comparison(
        (mean_a, spread(a.scores[part])),
        (mean_b, spread(b.scores[part])),
        mean_a - mean_b,
        over_seeds,
        over_examples,
        missing,
        ahead,
        in_words(ahead, mean_a - mean_b, over_seeds, over_examples),
    )


def spread(scores: tuple[float, ...]) -> float | None:
    return metrics.mean_sd(scores)[1] if len(scores) > 1 else None


# ---------------------------------------------------------------- the two intervals


def welch(a: tuple[float, ...], b: tuple[float, ...]) -> OverSeeds | None:
    """Welch's interval for the difference of the means of two samples of unequal variance (Welch 1947); None where one
    of them has a single value, or both have no spread.

    Unpaired, even where both sides have the same seeds: a seed numbers the draws of head, order and dropout, and two
    models that start from different weights make nothing common of it. Pairing would invent a correlation.
    """
    if min(len(a), len(b)) < 2 or len(set(a)) == len(set(b)) == 1:
        return None
    squares = [
        metrics.mean_sd(scores)[1] ** 2 / len(scores) for scores in (a, b)
    ]  # squared errors of the means
    total = sum(squares)
    df = total**2 / sum(square**2 / (len(scores) - 1) for square, scores in zip(squares, (a, b)))
    df = max(1.0, df)  # it is never below, but for rounding
    reach = metrics.student_t_quantile((1 + LEVEL) / 2, df) * math.sqrt(total)
    difference = float(np.mean(a) - np.mean(b))
    return OverSeeds(difference - reach, difference + reach, df)


def bootstrap(
    metric: str, gold: NDArray, a: NDArray, b: NDArray, samples: int, rng: np.random.Generator
) -> OverExamples:
    """Percentile interval of the paired bootstrap (Efron & Tibshirani 1993, chapter 13) for gold (N,) and the
    predictions a (S, N) and b (S', N): in a resample, a side scores the mean of its seeds' scores."""
    if metric == "accuracy":
        drawn = accuracy_differences(gold, a, b, samples, rng)
    else:
        drawn = differences(metrics.METRICS[metric], gold, a, b, samples, rng)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A resample at 0 or beyond speaks against the difference. One is added, for no number of them shows that p is 0.
    against = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    return OverExamples(
        float(low),
        float(high),
        len(gold),
        float(np.mean(drawn > 0)),
        min(1.0, 2 * (against + 1) / (samples + 1)),
    )


def accuracy_differences(
    gold: NDArray, a: NDArray, b: NDArray, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Differences (samples,) in accuracy. An example adds a number of its own to the difference, whatever else is
    drawn, and few numbers are possible: how often each is drawn is multinomial, so no example needs to be."""
    worth = len(b) * (a == gold).sum(0) - len(a) * (b == gold).sum(
        0
    )  # (N,) int, in units of 1 / (N · S · S')
    worths, first, counts = np.unique(worth, return_index=True, return_counts=True)
    order = np.argsort(first)  # that of the file, which stays when A and B change places
    drawn = rng.multinomial(len(gold), counts[order] / len(gold), size=samples)
    return (drawn @ worths[order]) / (len(gold) * len(a) * len(b))


def differences(
    measure: Callable[[NDArray, NDArray], float],
    gold: NDArray,
    a: NDArray,
    b: NDArray,
    samples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Differences (samples,) in any measure. A resample in which it is undefined has its stated value."""
    found = np.empty(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for i in range(samples):
            rows = rng.integers(0, len(gold), len(gold))
            mine, other = (
                np.mean([measure(gold[rows], one[rows]) for one in side]) for side in (a, b)
            )
            found[i] = mine - other
    return found.round(12)  # equal scores that were added up in another order are equal


def leader(difference: float, *intervals: OverSeeds | OverExamples | None) -> str | None:
    """Who is ahead by every interval that is there, if anyone."""
    known = [interval for interval in intervals if interval]
    if known and difference > 0 and all(interval.low > 0 for interval in known):
        return "A"
    if known and difference < 0 and all(interval.high < 0 for interval in known):
        return "B"
    return None


# ---------------------------------------------------------------- in words


def in_words(
    ahead: str | None,
    difference: float,
    over_seeds: OverSeeds | None,
    over_examples: OverExamples | None,
) -> str:
    intervals = {"over seeds": over_seeds, "over examples": over_examples}
    if ahead:
        # As the leader sees it: B ahead by 2 points, not A by -2.
        spans = {
            name: (i.low, i.high) if ahead == "A" else (-i.high, -i.low)
            for name, i in intervals.items()
            if i
        }
        said = [
            f"{name} {points(*spans[name])}" if name in spans else f"{name} unknown"
            for name in intervals
        ]
        said.sort(key=lambda words: "unknown" in words)
        return f"{ahead} is ahead by {points(abs(difference))} points (95% interval {'; '.join(said)})."
    with_zero = [name for name, i in intervals.items() if i and i.low <= 0 <= i.high]
    reason = (
        f"the 95% interval{'s' * (len(with_zero) > 1)} {' and '.join(with_zero)} "
        f"hold{'s' * (len(with_zero) == 1)} 0"
        if with_zero
        else "nothing here says how much of it is chance"
        if not (over_seeds or over_examples)
        else "the intervals do not agree"
    )
    return f"A and B cannot be told apart: the difference is {points(difference)} points, and {reason}."


def points(*fractions: float) -> str:
    return " to ".join(f"{100 * fraction:z.2f}" for fraction in fractions)


def as_text(args: argparse.Namespace, a: Result, b: Result, found: dict[str, Comparison]) -> str:
    lines = [f"{one_line(a.task)}, {a.metric} in points"]
    lines += [
        f"  {name}  {one_line(side.path)}, seed{'s' * (len(side.seeds) > 1)} {', '.join(map(str, side.seeds))}"
        for name, side in (("A", a), ("B", b))
    ]
    for part in PARTS:
        if part in found:
            lines += ["", *as_lines(part, found[part], args.samples)]
        elif part in a.scores or part in b.scores:
            lines += ["", f"{part}: only {'A' if part in a.scores else 'B'} has scores"]
    return "\n".join(lines)


def as_lines(part: str, c: Comparison, samples: int) -> list[str]:
    mean = lambda values: (
        points(values[0]) + (f" ± {points(values[1])}" if values[1] is not None else "")
    )
    rows = [("A", mean(c.a)), ("B", mean(c.b)), ("A - B", points(c.difference))]
    if s := c.over_seeds:
        rows.append(
            (
                "over seeds",
                f"{points(s.low, s.high)} (95%, Welch, {s.degrees_of_freedom:.1f} degrees of "
                f"freedom)",
            )
        )
    if e := c.over_examples:
        rows.append(
            (
                "over examples",
                f"{points(e.low, e.high)} (95%, {samples:,} resamples of {e.examples:,} "
                f"examples; A ahead in {e.a_ahead:.1%}, p = {e.p:.2g})",
            )
        )
    rows += [(f"over {name}", f"no interval: {why}") for name, why in c.missing.items()]
    return [part, *(f"  {name:<15}{value}" for name, value in rows), f"  {c.verdict}"]


def as_object(
    args: argparse.Namespace, a: Result, b: Result, found: dict[str, Comparison]
) -> dict[str, Any]:
    def part(c: Comparison) -> dict[str, Any]:
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
            "verdict": c.verdict,
        }

    return {
        "task": a.task,
        "metric": a.metric,
        "level": LEVEL,
        "samples": args.samples,
        "seed": args.seed,
        **{
            name: {"result": str(side.path), "seeds": side.seeds}
            for name, side in (("a", a), ("b", b))
        },
        **{name: part(found[name]) if name in found else None for name in PARTS},
    }


# ---------------------------------------------------------------- reading


def read_result(path: Path) -> Result:
    """ValueError for a file that is no result of finetune.py."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except (ValueError, RecursionError):
        raise ValueError(f"{path}: not a JSON file") from None
    is_words = lambda value: (
        isinstance(value, list) and all(isinstance(word, str) for word in value)
    )
    if not (
        isinstance(content, dict)
        and isinstance(content.get("task"), str)
        and isinstance(content.get("metric"), str)
        and isinstance(content.get("seeds"), list)
        and is_words(content.get("labels") or [])
    ):
        raise ValueError(
            f"{path}: not a result of finetune.py, which has a task, a metric and seeds"
        )
    if content["metric"] not in metrics.METRICS:
        raise ValueError(
            f"{path}: metric {content['metric']!r} is none of {', '.join(metrics.METRICS)}"
        )
    entries = content["seeds"]
    if not entries:
        raise ValueError(f"{path}: no seeds")
    if not all(isinstance(entry, dict) and type(entry.get("seed")) is int for entry in entries):
        raise ValueError(f"{path}: a seed without its number")
    seeds = tuple(entry["seed"] for entry in entries)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{path}: seed {max(seeds, key=seeds.count)} is there twice")
    scores = {}
    for part in PARTS:
        values = [entry.get(part) for entry in entries]
        if part == "test" and None in values:
            continue
        for seed, value in zip(seeds, values):
            if type(value) not in (int, float) or not -1 <= value <= 1:
                raise ValueError(
                    f"{path}: the {part} score of seed {seed} is {value!r:.40}, not from -1 to 1"
                )
        scores[part] = tuple(map(float, values))
    return Result(
        path, content["task"], content["metric"], tuple(content.get("labels") or ()), seeds, scores
    )


def table_path(side: Result, part: str) -> Path:
    return side.path.with_name(f"{part}_predictions.tsv")


def read_predictions(side: Result, part: str) -> Predictions | None:
    """None where there is no such file."""
    try:
        return read_every_seed(table_path(side, part), side.seeds, side.path.name)
    except FileNotFoundError:
        return None


def check_same_examples(
    a: Result, b: Result, part: str, of_a: Predictions, of_b: Predictions
) -> None:
    paths = f"{table_path(a, part)} and {table_path(b, part)}"
    if len(of_a.gold) != len(of_b.gold):
        raise ValueError(
            f"{paths} are not of the same examples: {len(of_a.gold):,} rows and {len(of_b.gold):,}"
        )
    for number, (mine, other) in enumerate(
        zip(zip(of_a.index, of_a.gold), zip(of_b.index, of_b.gold)), 2
    ):
        if mine != other:
            raise ValueError(
                f"{paths} are not of the same examples: line {number} has index and gold {mine} and "
                f"{other}"
            )


def as_arrays(
    a: Result, b: Result, part: str, of_a: Predictions, of_b: Predictions
) -> tuple[NDArray, NDArray, NDArray]:
    """Gold (N,) and the predictions (S, N) and (S', N) as the metric takes them: numbers, or the classes of the words.

    ValueError for words that are neither, and for predictions that do not score what their result says.
    """
    sides = ((a, of_a), (b, of_b))
    if a.metric in ON_NUMBERS:
        # They have four decimals, so they do not score exactly what the result says.
        return (
            as_numbers(table_path(a, part), of_a.gold),
            *(
                np.stack([as_numbers(table_path(side, part), column) for column in table.by_seed])
                for side, table in sides
            ),
        )
    if a.metric == "f1" and not a.labels:
        raise ValueError(f'{a.path}: no "labels", so there is no telling which class F1 is of')
    labels = a.labels or sorted(
        {word for _, table in sides for column in (table.gold, *table.by_seed) for word in column}
    )
    class_of = {word: i for i, word in enumerate(labels)}
    gold = as_classes(table_path(a, part), of_a.gold, class_of)
    by_side = [
        np.stack([as_classes(table_path(side, part), column, class_of) for column in table.by_seed])
        for side, table in sides
    ]
    for (side, _), predictions in zip(sides, by_side):
        check_scores(side, part, gold, predictions)
    return gold, *by_side


def check_scores(side: Result, part: str, gold: NDArray, predictions: NDArray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # finetune.py has said so
        scores = [metrics.METRICS[side.metric](gold, one) for one in predictions]
    for seed, said, score in zip(side.seeds, side.scores[part], scores):
        if abs(said - score) > ROUNDING:
            raise ValueError(
                f"{table_path(side, part)}: the predictions of seed {seed} score {score:.4f}, but "
                f"{side.path.name} says {said:.4f}; they are not of the same run"
            )


def as_classes(path: Path, words: list[str], class_of: dict[str, int]) -> NDArray[np.int64]:
    for number, word in enumerate(words, 2):
        if word not in class_of:
            raise ValueError(
                f"{path}:{number}: {word!r:.40} is not among the labels, {', '.join(class_of)}"
            )
    return np.array([class_of[word] for word in words])


def as_numbers(path: Path, words: list[str]) -> NDArray[np.float64]:
    try:
        values = np.array([float(word) for word in words])
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{path}:{2 + int(np.argmin(np.isfinite(values)))}: not a finite number")
    return values


if __name__ == "__main__":
    sys.exit(main())
