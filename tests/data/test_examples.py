"""Fine-tuning examples: what stays of a long text, and how texts and pairs are framed."""

import numpy as np
import pytest

from data.batches import rows_of
from electra.config import CLS, SEP
from electra.data.batch import Padding
from electra.data.examples import (
    MOST_WINDOWS,
    Encoded,
    encode_examples,
    example_ids,
    text_windows,
    truncate,
)

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "how, expected",
    [
        ("head", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("tail", [4, 5, 6, 7, 8, 9, 10, 11]),
        ("head+tail", [0, 1, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_truncation_keeps_head_tail_or_both(how, expected):
    assert truncate(list(range(12)), 8, how) == expected
    assert truncate(list(range(8)), 8, how) == list(range(8))
    assert truncate([1, 2], 0, how) == []


def test_head_and_tail_of_a_review_are_about_those_of_the_paper():
    kept = truncate(list(range(1_000)), 510, "head+tail")
    assert kept == [*range(127), *range(1_000 - 383, 1_000)]


@pytest.mark.parametrize(
    "a, b, max_len, expected, types",
    [
        ([10, 11], None, 8, [CLS, 10, 11, SEP], [0] * 4),
        ([10, 11, 12], None, 4, [CLS, 10, 11, SEP], [0] * 4),
        ([], None, 8, [CLS, SEP], [0, 0]),
        ([10], [20, 21], 8, [CLS, 10, SEP, 20, 21, SEP], [0, 0, 0, 1, 1, 1]),
        ([10, 11, 12, 13], [20], 7, [CLS, 10, 11, 12, SEP, 20, SEP], [0] * 5 + [1] * 2),
        ([10], [20, 21, 22, 23], 7, [CLS, 10, SEP, 20, 21, 22, SEP], [0] * 3 + [1] * 4),
        ([10, 11, 12, 13], [20, 21, 22, 23], 7, [CLS, 10, 11, SEP, 20, 21, SEP], [0] * 4 + [1] * 3),
        (
            [10, 11, 12, 13],
            [20, 21, 22, 23],
            8,
            [CLS, 10, 11, 12, SEP, 20, 21, SEP],
            [0] * 5 + [1] * 3,
        ),
        ([10], [], 8, [CLS, 10, SEP, SEP], [0, 0, 0, 1]),
    ],
)
def test_special_tokens_and_segments_of_examples(a, b, max_len, expected, types):
    assert example_ids(a, b, max_len, "head") == (expected, types)


@pytest.mark.parametrize("how", ["head", "tail", "head+tail"])
def test_examples_are_cut_to_the_limit_and_only_where_they_exceed_it(how):
    for n in range(20):
        for m in range(20):
            ids, types = example_ids(list(range(10, 10 + n)), list(range(50, 50 + m)), 16, how)
            assert len(ids) == len(types) == min(16, n + m + 3)


def test_what_is_cut_is_counted(tokenizer):
    texts, pairs = ["one word", "two words " * 20, "three"], [None, "and more", "four " * 20]
    uncut = encode_examples(tokenizer, texts, pairs, [0, 1, 2], 1_000, "head")
    cut = encode_examples(tokenizer, texts, pairs, [0, 1, 2], 16, "tail")
    assert (uncut.cut_examples, uncut.cut_tokens) == (0, 0)
    assert (cut.cut_examples, cut.cut_tokens) == (2, uncut.lengths.sum() - cut.lengths.sum())


def test_single_texts_and_pairs_are_encoded_side_by_side(tokenizer):
    texts = ["one word", "two words", "three"]
    pairs = [None, "and more", None]
    encoded = encode_examples(tokenizer, texts, pairs, [0, 1, 2], 32, "head")
    one, two, three, more = tokenizer.encode_batch([*texts, "and more"])
    assert encoded.ids == [[CLS, *one, SEP], [CLS, *two, SEP, *more, SEP], [CLS, *three, SEP]]
    assert encoded.lengths.tolist() == [len(ids) for ids in encoded.ids]
    batch = encoded.batch(np.array([2, 1]), Padding(8, 32))
    assert rows_of(batch) == [encoded.ids[2], encoded.ids[1]] and batch.labels.tolist() == [2, 1]


def test_windows_hold_the_whole_text_in_stretches_of_like_length():
    for count in (0, 1, 7, 8, 9, 16, 17, 100, 8 * MOST_WINDOWS):
        windows = text_windows(list(range(count)), 8)
        assert sum(windows, []) == list(range(count))
        lengths = [len(window) for window in windows]
        assert len(windows) == max(1, -(-count // 8)) and max(lengths) - min(lengths) <= 1
    assert sum(text_windows(list(range(1_000)), 8), []) == list(range(8 * MOST_WINDOWS))


def test_a_text_has_a_row_for_each_window_and_one_label(tokenizer):
    texts = ["one word", "two words " * 12, "three"]
    encoded = encode_examples(tokenizer, texts, [None] * 3, [0, 1, 2], 16, "windows")
    whole = tokenizer.encode_batch(texts)
    parts = [max(1, -(-len(ids) // 14)) for ids in whole]
    assert encoded.parts.tolist() == parts and max(parts) > 1
    assert (encoded.cut_examples, encoded.cut_tokens) == (0, 0)
    assert [i for row in encoded.ids for i in row[1:-1]] == [i for ids in whole for i in ids]

    batch = encoded.batch(np.array([1]), Padding(1, 16))
    assert batch.input_ids.shape == (1, parts[1], encoded.lengths[1])
    assert batch.labels.tolist() == [1]
    assert encoded.batch(np.array([2, 0]), Padding(1, 16)).labels.tolist() == [2, 0]


def test_the_end_of_a_text_of_too_many_windows_is_counted_as_cut(tokenizer):
    text = "two words " * 200
    [ids] = tokenizer.encode_batch([text])
    encoded = encode_examples(tokenizer, [text], [None], [0], 8, "windows")
    assert encoded.parts.tolist() == [MOST_WINDOWS]
    assert (encoded.cut_examples, encoded.cut_tokens) == (1, len(ids) - 6 * MOST_WINDOWS)


def test_windows_of_pairs_are_refused(tokenizer):
    with pytest.raises(ValueError, match="windows is for single texts"):
        encode_examples(tokenizer, ["one"], ["two"], [0], 16, "windows")


def test_batches_hold_every_example_once_with_others_of_as_many_rows():
    parts = np.array([1, 3, 2, 3, 1, 2, 2])
    ids = [[2, *range(5, 5 + i % 4), 3] for i in range(parts.sum())]
    encoded = Encoded(ids, [[0] * len(row) for row in ids], list(range(7)), parts=parts)
    for rng in (None, np.random.default_rng(0)):
        batches = encoded.batches(24, Padding(2, 6), rng, max_rows=2)
        assert sorted(np.concatenate(batches).tolist()) == list(range(7))
        for members in batches:
            assert len(set(parts[members])) == 1 and len(members) <= 2
            batch = encoded.batch(members, Padding(2, 6))
            assert batch.input_ids.numel() <= 24
            assert batch.labels.tolist() == members.tolist()
            rows = batch.rows()
            assert rows.input_ids[:, 0].tolist() == [2] * int(parts[members].sum())
    alone = encoded.batches(6, Padding(2, 6), None)  # the windows of a text are never parted
    assert sorted(map(len, alone)) == [1] * 7
