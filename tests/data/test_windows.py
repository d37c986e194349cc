"""Windows over long sentences and contexts: nothing is lost, nothing is said twice."""

import random

import numpy as np
import pytest

from electra.data.batch import IGNORE, Padding
from electra.data.question_windows import AskedText, context_windows, encode_questions
from electra.data.tagged_words import encode_words

pytestmark = pytest.mark.fast


def test_every_word_has_its_tag_once_in_any_window(tokenizer):
    draw = random.Random(0)
    words = ["rain", "unbelievably", "a", "Königsberg", "extraordinarily", ","]
    sentences = [tuple(draw.choice(words) for _ in range(draw.randint(1, 40))) for _ in range(30)]
    tags = [tuple(draw.randrange(5) for _ in sentence) for sentence in sentences]
    encoded = encode_words(tokenizer, sentences, tags, max_len=16)
    assert encoded.lengths.max() <= 16 and len(encoded.ids) > len(sentences)

    found = [{} for _ in sentences]
    for window, ids, labels in zip(encoded.windows, encoded.ids, encoded.labels, strict=True):
        assert len(ids) == len(labels)
        assert [i for i, label in enumerate(labels) if label != IGNORE] == window.positions
        for word, position in zip(window.words, window.positions, strict=True):
            assert word not in found[window.sentence]
            found[window.sentence][word] = labels[position]
            first = tokenizer.encode_batch([sentences[window.sentence][word]])[0][0]
            assert ids[position] == first
    assert found == [dict(enumerate(of_sentence)) for of_sentence in tags]


def test_a_sentence_that_fits_is_one_row(tokenizer):
    encoded = encode_words(tokenizer, [("a", "rain")], [(3, 4)], max_len=64)
    pieces = [tokenizer.encode_batch([word])[0] for word in ("a", "rain")]
    assert encoded.ids == [[2, *pieces[0], *pieces[1], 3]]
    tail = [IGNORE] * (len(pieces[1]) - 1)
    assert encoded.labels == [[IGNORE, 3, *[IGNORE] * (len(pieces[0]) - 1), 4, *tail, IGNORE]]


def test_a_word_without_pieces_or_with_too_many_keeps_its_place(tokenizer):
    encoded = encode_words(tokenizer, [("\u0301"[:0], "x" * 99, "a")], [(1, 2, 3)], max_len=10)
    tags = [label for row in encoded.labels for label in row if label != IGNORE]
    assert tags == [1, 2, 3] and encoded.lengths.max() <= 10


def test_labels_of_tokens_are_padded_with_what_the_loss_leaves_out(tokenizer):
    encoded = encode_words(tokenizer, [("a",), ("a", "rain")], [(1,), (2, 3)], max_len=64)
    batch = encoded.batch(np.array([0, 1]), Padding(8, 64))
    assert batch.labels.shape == batch.input_ids.shape
    assert (batch.labels[~batch.attention_mask] == IGNORE).all()


@pytest.mark.parametrize(
    "tokens, room, stride", [(100, 30, 10), (100, 30, 50), (30, 30, 5), (0, 9, 3)]
)
def test_windows_cover_every_token(tokens, room, stride):
    windows = context_windows(tokens, room, stride)
    assert {i for start, end in windows for i in range(start, end)} == set(range(tokens))
    assert all(end - start <= room for start, end in windows)


def test_an_answer_is_in_its_windows_and_nowhere_else(tokenizer):
    context = " ".join(f"the {i} rivers of rain" for i in range(60))
    start = context.index("31 rivers")
    asked = [AskedText("how many?", context, (start, start + 9)), AskedText("why?", context, None)]
    encoded = encode_questions(tokenizer, asked, max_len=64, doc_stride=16)
    holding = 0
    for window, ids, label in zip(encoded.windows, encoded.ids, encoded.labels, strict=True):
        assert len(ids) <= 64
        if label == (0, 0):
            continue
        holding += 1
        first, last = (window.offsets[place - window.first] for place in label)
        assert context[first[0] : last[1]] == "31 rivers" and window.question == 0
    assert holding >= 2

    # Each token has one window in which an answer may start.
    best = {}
    for window in encoded.windows:
        if window.question == 0:
            for offset, is_best in zip(window.offsets, window.best, strict=True):
                best[offset] = best.get(offset, 0) + is_best
    assert set(best.values()) == {1}


def test_an_answer_inside_a_word_is_the_tokens_that_touch_it(tokenizer):
    asked = [AskedText("when?", "in the 1920s.", (7, 11))]
    encoded = encode_questions(tokenizer, asked, max_len=32, doc_stride=16)
    (window,), (label,) = encoded.windows, encoded.labels
    first, last = (window.offsets[place - window.first] for place in label)
    assert first[0] <= 7 and last[1] >= 11 and label != (0, 0)
