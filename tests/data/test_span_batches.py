"""The streams of pre-training batches: an epoch reads all, and a loaded state continues exactly."""

import numpy as np
import pytest

from data.batches import random_text, rows_of, same
from electra.config import CLS, SEP
from electra.data.spans import SpanBatches
from electra.data.token_store import Text

pytestmark = pytest.mark.fast


def stream(seed=0, multiple=8):
    """Batches of 512 tokens of a text in which no token is twice."""
    lines, starts, ends = random_text(0)
    text = Text(np.arange(5, 5 + lines[-1]), lines, starts, ends)
    return SpanBatches(text, 512, multiple, seed)


def test_an_epoch_reads_every_token_once():
    mine = stream()
    spans, batches = mine.lay_out(64, 0)
    seen = [
        token
        for _ in batches
        for row in rows_of(mine.next(64))
        for token in row
        if token not in (CLS, SEP)
    ]
    assert sorted(seen) == mine.text.tokens.tolist()
    assert mine.state() == {64: (0, len(batches))}
    mine.next(64)
    assert mine.state() == {64: (1, 1)}


@pytest.mark.parametrize("multiple", [8, 64])
def test_batches_of_the_stream_keep_budget_and_width(multiple):
    mine = stream(multiple=multiple)
    for _ in range(40):
        rows, width = mine.next(128).input_ids.shape
        assert rows * width <= 512 and width % multiple == 0 and width <= 128


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epochs):
        mine = stream(seed)
        return [
            rows_of(mine.next(64)) for epoch in range(epochs) for _ in mine.lay_out(64, epoch)[1]
        ]

    assert order(1, 2) == order(1, 2)
    assert order(1, 1) != order(2, 1)
    both = order(1, 2)
    first = len(order(1, 1))
    assert both[:first] != both[first:]


@pytest.mark.parametrize("done", [1, 3, "epoch", "epoch and one"])
def test_a_loaded_state_continues_with_the_same_batches(done):
    mine = stream()
    count = len(mine.lay_out(64, 0)[1])
    for _ in range({"epoch": count, "epoch and one": count + 1}.get(done, done)):
        mine.next(64)
    other = stream()
    other.load(mine.state())
    assert other.state() == mine.state()
    for _ in range(count + 2):  # over the end of an epoch
        assert same(mine.next(64), other.next(64))


def test_a_state_from_before_the_first_batch_can_be_loaded():
    other = stream()
    other.load(stream().state())
    assert same(other.next(64), stream().next(64))


def test_each_length_has_a_position_of_its_own():
    mixed, short, long = stream(), stream(), stream()
    for length in (32, 128, 32, 32, 128, 32):
        assert same(mixed.next(length), (short if length == 32 else long).next(length))
    assert mixed.state() == {32: (0, 4), 128: (0, 2)} == {**short.state(), **long.state()}
    other = stream()
    other.load(mixed.state())
    assert same(other.next(128), long.next(128)) and same(other.next(32), short.next(32))
