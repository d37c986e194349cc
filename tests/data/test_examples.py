"""Fine-tuning examples: what stays of a long text, and how texts and pairs are framed."""

import numpy as np
import pytest

from data.batches import rows_of
from electra.config import CLS, SEP
from electra.data.batch import Padding
from electra.data.examples import encode_examples, example_ids, truncate

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
