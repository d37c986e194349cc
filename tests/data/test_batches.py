"""Batches: every example is in one, and none is over the budget of tokens."""

import numpy as np
import pytest

from electra.config import CLS, SEP
from electra.data.batch import ROWS, Padding, bucket_batches, cheapest_batches, collate

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "multiple, longest, budget, max_rows",
    [(8, 128, 1_024, None), (64, 128, 512, None), (8, 100, 100, None), (8, 128, 4_096, 5)],
)
@pytest.mark.parametrize("shuffled", [True, False])
def test_every_example_is_in_one_batch_and_the_budget_is_never_exceeded(
    multiple, longest, budget, max_rows, shuffled
):
    lengths = np.random.default_rng(0).integers(1, longest + 1, 777)
    batches = bucket_batches(
        lengths,
        budget,
        Padding(multiple, longest),
        np.random.default_rng(1) if shuffled else None,
        max_rows,
    )
    assert sorted(np.concatenate(batches).tolist()) == list(range(777))
    for rows in batches:
        width = min(-(-lengths[rows].max() // multiple) * multiple, longest)
        assert len(rows) * width <= budget
        assert len(rows) <= (max_rows or 777)


def test_filled_batches_have_few_shapes_and_still_every_example():
    lengths = np.random.default_rng(0).integers(3, 129, 1_001)
    plain, filled = (
        bucket_batches(lengths, 1_024, Padding(64, 128), np.random.default_rng(1), fill=fill)
        for fill in (False, True)
    )
    assert sorted(len(rows) for rows in plain) != sorted(len(rows) for rows in filled)
    assert set(np.concatenate(filled)) == set(range(1_001))
    assert {(-(-lengths[rows].max() // 64) * 64, len(rows)) for rows in filled} <= {
        (64, 16),
        (64, 8),
        (128, 8),
    }


def test_batches_written_by_hand():
    # Widths 8 8 16 8 16 24; budget 32: four rows of 8, two of 16, one of 24.
    batches = bucket_batches(np.array([3, 8, 9, 5, 16, 20]), 32, Padding(8, 64), None)
    # Three of width 8 do not fill a batch and join width 16, where two rows do. One of width 16 is
    # left for width 24.
    assert [rows.tolist() for rows in batches] == [[0, 1], [3, 2], [4], [5]]


def test_an_example_over_the_budget_raises():
    with pytest.raises(ValueError, match="96.*64"):
        bucket_batches(np.array([8, 90]), 64, Padding(8, 128), None)
    with pytest.raises(ValueError, match="96.*64"):
        cheapest_batches(np.array([8, 90]), 64, Padding(8, 128), 10)


def test_order_is_shuffled_by_the_generator_and_sorted_without():
    lengths = np.random.default_rng(0).integers(1, 129, 500)
    fixed = bucket_batches(lengths, 512, Padding(8, 128), None)
    widths = [-(-lengths[rows].max() // 8) for rows in fixed]
    assert widths == sorted(widths)
    first, again, other = (
        [
            rows.tolist()
            for rows in bucket_batches(lengths, 512, Padding(8, 128), np.random.default_rng(seed))
        ]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [-(-lengths[rows].max() // 8) for rows in first] != widths


def test_no_examples_make_no_batches():
    assert bucket_batches(np.zeros(0, np.int64), 64, Padding(8, 128), None) == []
    assert cheapest_batches(np.zeros(0, np.int64), 64, Padding(8, 128), 10) == []


def reading_cost(batches, lengths, padding, batch_cost):
    return sum(
        len(rows) * int(padding.widths(lengths[rows].max())) + batch_cost for rows in batches
    )


def splits(count):
    """All ways to cut a row of `count` examples into batches, each a list of sizes."""
    if count == 0:
        return [[]]
    return [[first, *rest] for first in range(1, count + 1) for rest in splits(count - first)]


@pytest.mark.parametrize("seed", range(20))
def test_the_cheapest_batches_are_the_cheapest_of_all_splits(seed):
    rng = np.random.default_rng(seed)
    lengths, padding = rng.integers(1, 65, rng.integers(1, 12)), Padding(8, 64)
    batch_cost, budget = int(rng.integers(0, 200)), int(rng.integers(4, 9)) * 64
    order = np.argsort(lengths, kind="stable")
    allowed = []
    for sizes in splits(len(lengths)):
        batches = np.split(order, np.cumsum(sizes)[:-1])
        fits = all(reading_cost([rows], lengths, padding, 0) <= budget for rows in batches)
        if fits and all(size % ROWS == 0 for size in sizes[1:]):
            allowed.append(reading_cost(batches, lengths, padding, batch_cost))

    batches = cheapest_batches(lengths, budget, padding, batch_cost)
    assert reading_cost(batches, lengths, padding, batch_cost) == min(allowed)
    assert np.concatenate(batches).tolist() == order.tolist()


@pytest.mark.parametrize("budget", [128, 200, 2_048])
def test_the_cheapest_batches_hold_every_example_within_the_budget(budget):
    lengths = np.random.default_rng(0).integers(1, 129, 777)
    batches = cheapest_batches(lengths, budget, Padding(8, 128), 150)
    assert sorted(np.concatenate(batches).tolist()) == list(range(777))
    assert all(reading_cost([rows], lengths, Padding(8, 128), 0) <= budget for rows in batches)
    if budget >= 128 * ROWS:
        assert all(len(rows) % ROWS == 0 for rows in batches[1:])


def test_a_batch_that_costs_more_is_fuller():
    lengths = np.random.default_rng(0).integers(1, 65, 40)
    counts = [
        len(cheapest_batches(lengths, 4_096, Padding(8, 64), cost)) for cost in (0, 150, 10_000)
    ]
    assert counts[0] > counts[1] > counts[2] == 1


@pytest.mark.parametrize("seed", range(3))
def test_padding_is_below_5_percent_on_lengths_like_those_of_reviews(seed):
    rng = np.random.default_rng(seed)
    # The median is 200; the tail beyond 512 is cut.
    lengths = np.clip(rng.lognormal(5.3, 0.65, 20_000), 12, 512).astype(int)
    batches = bucket_batches(lengths, 8_192, Padding(8, 512), rng)
    padded_tokens = sum(len(rows) * min(-(-lengths[rows].max() // 8) * 8, 512) for rows in batches)
    assert 1 - lengths.sum() / padded_tokens < 0.05


def test_examples_of_a_task_written_by_hand():
    batch = collate(
        [[CLS, 7, SEP], [CLS, 8, 9, SEP, 6, SEP]],
        [[0, 0, 0], [0, 0, 0, 0, 1, 1]],
        [1, 0],
        Padding(4, 64),
    )
    assert batch.input_ids.tolist() == [
        [CLS, 7, SEP, 0, 0, 0, 0, 0],
        [CLS, 8, 9, SEP, 6, SEP, 0, 0],
    ]
    assert batch.token_type_ids.tolist() == [[0] * 8, [0, 0, 0, 0, 1, 1, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 3 + [False] * 5, [True] * 6 + [False] * 2]
    assert batch.labels.tolist() == [1, 0]
