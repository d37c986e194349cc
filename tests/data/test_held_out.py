"""Held-out text: whole documents, the same ones every time, and never all of them."""

import numpy as np
import pytest

from electra.data.token_store import TokenStore, hold_out, whole_text

pytestmark = pytest.mark.fast


def toy_store(lengths):
    """Documents of lines of the given token counts."""
    flat = [n for document in lengths for n in document]
    lines = np.cumsum([0, *flat])
    return TokenStore(
        np.arange(lines[-1]) % 1_000,
        lines,
        np.cumsum([0, *map(len, lengths)]),
        np.ones(1_000, np.int64),
        summary=None,
    )


def spans(text):
    return list(zip(text.starts.tolist(), text.ends.tolist(), strict=True))


def test_held_out_documents_are_disjoint_from_the_others_and_whole():
    store = toy_store([[3, 4], [5], [1, 1, 1]] * 200)
    train, valid = hold_out(store, 0.05)
    assert len(valid.starts) == 30 and len(train.starts) == 570
    assert sorted(spans(train) + spans(valid)) == spans(whole_text(store))
    assert train.num_tokens + valid.num_tokens == len(store.tokens) == 200 * 15
    assert spans(train) == sorted(spans(train))


def test_the_same_documents_are_held_out_every_time_and_not_the_last_ones():
    store = toy_store([[10]] * 1_000)
    first, second = hold_out(store)[1], hold_out(store)[1]
    assert spans(first) == spans(second) and len(first.starts) == 5
    assert max(first.ends) < 9_950 or min(first.starts) < 5_000


@pytest.mark.parametrize("count", [2, 3, 10])
def test_at_least_one_document_is_held_out_and_one_stays(count):
    train, valid = hold_out(toy_store([[10]] * count))
    assert len(valid.starts) == 1 and len(train.starts) == count - 1


@pytest.mark.parametrize(
    "lines, cut", [([10] * 1_000, 9_950), ([10] * 4, 30), ([10] * 3, 20), ([7, 3], 7), ([200], 190)]
)
def test_of_a_single_document_the_last_lines_are_held_out(lines, cut):
    train, valid = hold_out(toy_store([lines]))
    assert spans(train) == [(0, cut)] and spans(valid) == [(cut, sum(lines))]
