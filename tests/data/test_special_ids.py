"""Special tokens with other ids than those of this project's tokenizers."""

import numpy as np
import pytest

from data.batches import BERTS, LAST, random_text, rows_of
from electra.data.batch import Padding, collate
from electra.data.examples import encode_examples, example_ids
from electra.data.spans import SpanBatches, Spans, collate_spans
from electra.data.token_store import Text
from electra.data.wordpiece import WordPieceTokenizer

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("special, cls, sep, pad", [(BERTS, 101, 102, 0), (LAST, 52, 53, 50)])
def test_spans_are_framed_and_padded_with_the_ids_they_are_given(special, cls, sep, pad):
    tokens = np.arange(10, 20)
    spans = Spans(np.array([0, 4]), np.array([2, 7]), np.array([4, 7]))
    batch = collate_spans(tokens, spans, np.array([0, 1]), Padding(8, 64), special)
    assert batch.input_ids.tolist() == [
        [cls, 10, 11, sep, 12, 13, sep, pad],
        [cls, 14, 15, 16, sep, pad, pad, pad],
    ]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1, 1, 0], [0] * 8]
    assert batch.attention_mask.sum(1).tolist() == [7, 5]


@pytest.mark.parametrize("special, cls, sep, pad", [(BERTS, 101, 102, 0), (LAST, 52, 53, 50)])
def test_the_stream_and_examples_use_the_ids_they_are_given(special, cls, sep, pad):
    lines, starts, ends = random_text(0)
    mine = SpanBatches(Text(np.full(lines[-1], 30), lines, starts, ends), 512, 8, 0, special)
    seen = [mine.next(64) for _ in mine.lay_out(64, 0)[1]]
    assert {i for batch in seen for row in batch.input_ids.tolist() for i in row} == {
        30,
        cls,
        sep,
        pad,
    }
    for batch in seen:
        for row, whole in zip(rows_of(batch), batch.input_ids.tolist(), strict=True):
            assert (row[0], row[-1], whole[len(row) :]) == (
                cls,
                sep,
                [pad] * (len(whole) - len(row)),
            )
    assert example_ids([1, 2], None, 8, "head", special) == ([cls, 1, 2, sep], [0] * 4)
    assert example_ids([1, 2], [3], 8, "head", special) == (
        [cls, 1, 2, sep, 3, sep],
        [0] * 4 + [1] * 2,
    )
    assert collate([[cls, sep]], [[0, 0]], None, Padding(4, 64), pad).input_ids.tolist() == [
        [cls, sep, pad, pad]
    ]


def test_encoded_examples_have_the_special_ids_of_their_tokenizer():
    words = WordPieceTokenizer(
        ["sun", "moon", "[MASK]", "[SEP]", "rain", "[CLS]", "[UNK]", "[PAD]"]
    )
    encoded = encode_examples(words, ["sun rain", "snow"], [None, "moon"], [0, 1], 16, "head")
    assert encoded.ids == [[5, 0, 4, 3], [5, 6, 3, 1, 3]] and encoded.pad == 7
    batch = encoded.batch(np.array([0, 1]), Padding(8, 16))
    assert batch.input_ids.tolist() == [[5, 0, 4, 3, 7, 7, 7, 7], [5, 6, 3, 1, 3, 7, 7, 7]]
    assert batch.attention_mask.sum(1).tolist() == [4, 5]
