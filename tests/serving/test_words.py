"""Words of a text with their places, and their tokens."""

from itertools import chain

import pytest
from data.wordpieces import TEXTS

from electra.data.wordpiece import WordPieceTokenizer
from electra.serving.words import find_words, tokenized_words

pytestmark = pytest.mark.fast


@pytest.fixture
def wordpiece():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "film", "##s", "don", "'", "t"]
    return WordPieceTokenizer([*tokens, ".", ",", "cafe", "漢", "字"])


def shown(text, words):
    return [text[word.start : word.end] for word in words]


def test_words_keep_the_apostrophe_inside_and_ideographs_stand_alone():
    text = "Don't say “no”: 漢字, x²... 😀"
    words = [text[start:end] for start, end in find_words(text)]
    assert words == ["Don't", "say", "“", "no", "”:", "漢", "字", ",", "x²", "...", "😀"]
    assert find_words(" \n ") == []


def test_pieces_are_put_together_and_signs_stand_alone(wordpiece):
    text = "The films,\n don't: CAFÉ 漢字."
    (words,) = tokenized_words(wordpiece, [text])
    # ":" is unknown, so what stands around it between two spaces is one word.
    assert shown(text, words) == ["The", "films", ",", "don't:", "CAFÉ", "漢", "字", "."]
    assert words[1].ids == [6, 7]


def test_the_ids_of_the_words_are_those_of_the_text(tokenizer, wordpiece):
    for one in (tokenizer, wordpiece):
        for text, words in zip(TEXTS, tokenized_words(one, TEXTS), strict=True):
            assert (
                list(chain.from_iterable(word.ids for word in words)) == one.encode_batch([text])[0]
            )


def test_words_lie_in_order_and_cover_all_but_white_space(tokenizer):
    texts = [*TEXTS, "", " ", "a\u200bb", "\x00", "a\x00 b", "x" * 500]
    for text, words in zip(texts, tokenized_words(tokenizer, texts), strict=True):
        places = [place for word in words for place in range(word.start, word.end)]
        assert places == sorted(set(places))
        assert all(word.end > word.start and word.ids for word in words)
        left = {text[i] for i in set(range(len(text))) - set(places)}
        assert all(char.isspace() or char == "\x00" for char in left)
