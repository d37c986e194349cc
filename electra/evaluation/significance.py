"""Whether one fine-tuning is better than another on the same task, or only luckier.

There are two sources of chance. Each has a 95% interval of A - B, on the main metric of the task:

* seeds (another head, another order of the data): Welch's t interval for the difference of two
  means;
* examples (another dev set of the same kind): a paired bootstrap. It draws the examples with
  replacement and scores both sides on the same draw, each side as the mean of its seeds; the
  interval is made of percentiles.

A side is ahead where every available interval excludes 0. With one seed there is no spread, so the
interval over examples decides alone; it then speaks of those two trained models only.

N: examples, S: seeds of a side.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra.evaluation.compared_results import (
    PairedPredictions,
    Result,
    check_same_examples,
    pair_counts,
    pair_predictions,
    read_side,
    table_path,
)
from electra.evaluation.example_counts import COUNTED, resampled_count_differences
from electra.evaluation.metrics import METRICS
from electra.evaluation.statistics import mean_sd, student_t_quantile
from electra.files import one_line

LEVEL = 0.95
MIN_SAMPLES = 100  # with fewer, only two resamples lie beyond an end of the interval


class SeedInterval(NamedTuple):
    low: float
    high: float
    degrees_of_freedom: float


class ExampleInterval(NamedTuple):
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
    over_seeds: SeedInterval | None
    over_examples: ExampleInterval | None
    missing: dict[str, str]  # why an interval, "seeds" or "examples", is None
    ahead: str | None  # "A", "B", or None: they cannot be told apart


def compare(a: Result, b: Result, part: str, samples: int, seed: int) -> Comparison:
    """Compare two results of the same task on one part of the data.

    `samples` and `seed` are of the bootstrap. ValueError where the predictions are not of the same
    examples, or not of these results.
    """
    over_seeds = welch_interval(a.scores[part], b.scores[part])
    missing = {} if over_seeds else {"seeds": _why_no_seed_interval(a, b)}

    over_examples = None
    side_a, side_b = read_side(a, part), read_side(b, part)
    if side_a is None or side_b is None:
        sides = ((a, side_a), (b, side_b))
        absent = [one_line(table_path(result, part)) for result, side in sides if side is None]
        missing["examples"] = "no " + " and no ".join(absent)
    else:
        check_same_examples(side_a, side_b)
        # A generator for each part, so that its figures do not depend on there being another part.
        rng = np.random.default_rng(seed)
        counted = COUNTED.get((a.kind, a.metric))
        if counted is not None:
            pair = pair_counts(side_a, side_b, counted)
            drawn = resampled_count_differences(counted.score, pair, samples, rng)
            over_examples = interval_over(drawn, pair.a.shape[1])
        else:
            over_examples = paired_bootstrap(
                a.metric, pair_predictions(side_a, side_b), samples, rng
            )

    mean_a, mean_b = float(np.mean(a.scores[part])), float(np.mean(b.scores[part]))
    return Comparison(
        a=(mean_a, _deviation(a.scores[part])),
        b=(mean_b, _deviation(b.scores[part])),
        difference=mean_a - mean_b,
        over_seeds=over_seeds,
        over_examples=over_examples,
        missing=missing,
        ahead=_side_ahead(mean_a - mean_b, over_seeds, over_examples),
    )


def _deviation(scores: tuple[float, ...]) -> float | None:
    return mean_sd(scores)[1] if len(scores) > 1 else None


def _why_no_seed_interval(a: Result, b: Result) -> str:
    single = [name for name, side in (("A", a), ("B", b)) if len(side.seeds) == 1]
    if single:
        return f"{' and '.join(single)} with one seed, which has no spread"
    return "in A and in B every seed scores the same, so there is no spread"


def _side_ahead(
    difference: float, over_seeds: SeedInterval | None, over_examples: ExampleInterval | None
) -> str | None:
    """The side that is ahead by every available interval, if any."""
    known = [interval for interval in (over_seeds, over_examples) if interval]
    if known and difference > 0 and all(interval.low > 0 for interval in known):
        return "A"
    if known and difference < 0 and all(interval.high < 0 for interval in known):
        return "B"
    return None


# ---------------------------------------------------------------- the interval over seeds


def welch_interval(a: tuple[float, ...], b: tuple[float, ...]) -> SeedInterval | None:
    """Welch's interval for the difference of two means of unequal variance (Welch 1947).

    None where a side has a single score, or where neither side has any spread.

    The samples are not paired, even where both sides have the same seeds: a seed determines the
    draws of head, order and dropout, and these have nothing in common between two models that start
    from different weights. Pairing would invent a correlation.
    """
    if min(len(a), len(b)) < 2 or len(set(a)) == len(set(b)) == 1:
        return None

    # Squared standard errors of the two means.
    squares = [mean_sd(scores)[1] ** 2 / len(scores) for scores in (a, b)]
    total = sum(squares)
    df = total**2 / sum(
        square**2 / (len(scores) - 1) for square, scores in zip(squares, (a, b), strict=True)
    )
    df = max(1.0, df)  # only rounding can make it lower

    reach = student_t_quantile((1 + LEVEL) / 2, df) * math.sqrt(total)
    difference = float(np.mean(a) - np.mean(b))
    return SeedInterval(difference - reach, difference + reach, df)


# ---------------------------------------------------------------- the interval over examples


def paired_bootstrap(
    metric: str, pair: PairedPredictions, samples: int, rng: np.random.Generator
) -> ExampleInterval:
    """Percentile interval of the paired bootstrap (Efron & Tibshirani 1993, chapter 13).

    On each resample, a side has the mean of its seeds' scores.
    """
    if metric == "accuracy":
        drawn = resampled_accuracy_differences(pair, samples, rng)
    else:
        drawn = resampled_differences(METRICS[metric], pair, samples, rng)

    return interval_over(drawn, len(pair.gold))


def interval_over(drawn: NDArray[np.float64], examples: int) -> ExampleInterval:
    """The percentile interval of differences on resamples, (samples,)."""
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A resample at 0 or beyond counts against the difference. One is added, because no number of
    # resamples shows that p is 0.
    against = min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
    p = min(1.0, 2 * (against + 1) / (len(drawn) + 1))
    return ExampleInterval(float(low), float(high), examples, float(np.mean(drawn > 0)), p)


def resampled_accuracy_differences(
    pair: PairedPredictions, samples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Differences in accuracy of A and B on resamples, (samples,).

    Each example adds a fixed amount to the difference, whatever else is drawn, and few amounts are
    possible. How often each amount is drawn is multinomial, so the examples need not be drawn one
    by one.
    """
    gold, a, b = pair
    # (N,) int, in units of 1 / (N · S of A · S of B)
    amount = len(b) * (a == gold).sum(0) - len(a) * (b == gold).sum(0)
    amounts, first, counts = np.unique(amount, return_index=True, return_counts=True)
    order = np.argsort(first)  # the order of the file, which is the same when A and B swap places
    drawn = rng.multinomial(len(gold), counts[order] / len(gold), size=samples)
    return (drawn @ amounts[order]) / (len(gold) * len(a) * len(b))


def resampled_differences(
    score: Callable[[NDArray, NDArray], float],
    pair: PairedPredictions,
    samples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Differences in any metric of A and B on resamples, (samples,).

    Where a metric is undefined on a resample, it has the value that its docstring states.
    """
    gold, a, b = pair
    drawn = np.empty(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for i in range(samples):
            rows = rng.integers(0, len(gold), len(gold))
            score_a, score_b = (
                np.mean([score(gold[rows], of_seed[rows]) for of_seed in side]) for side in (a, b)
            )
            drawn[i] = score_a - score_b
    # Rounded, because equal scores that are added in another order differ in their last digits.
    return drawn.round(12)
