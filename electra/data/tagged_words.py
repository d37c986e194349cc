"""Sentences of tagged words as token ids, in windows where a sentence is too long for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from electra.data.batch import IGNORE
from electra.data.examples import Encoded
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer

OVERLAP = 4  # two windows share a quarter of their tokens


class WordWindow(NamedTuple):
    """A stretch of a sentence that is one row of a batch.

    Two windows of a sentence overlap, so that each word is read with words on both sides. Each word
    gets its tag from one window.
    """

    sentence: int  # index of the sentence
    words: list[int]  # indices of the words whose tags this window gives
    positions: list[int]  # where in the row the first piece of each of these words is


def encode_words(
    tokenizer: Tokenizer | CachedTokenizer,
    sentences: Sequence[Sequence[str]],
    tags: Sequence[Sequence[int] | None],
    max_len: int,
) -> Encoded:
    """Tokenise sentences of words; the first piece of a word carries its tag.

    tags: a class for each word, or None where they are not known. A word of which a tokenizer makes
    nothing becomes [UNK]. A word that fills a window alone is cut to it. No word is lost.
    """
    special = tokenizer.special
    distinct = sorted({word for sentence in sentences for word in sentence})
    pieces = dict(zip(distinct, tokenizer.encode_batch(distinct), strict=True))

    ids, labels, windows = [], [], []
    for number, (sentence, of_words) in enumerate(zip(sentences, tags, strict=True)):
        words = [pieces[word][: max_len - 2] or [special.unk] for word in sentence]
        for first, end, own_first, own_end in _windows([len(word) for word in words], max_len - 2):
            lengths = [len(word) for word in words[first:end]]
            starts = [1 + sum(lengths[:i]) for i in range(own_first - first, own_end - first)]
            row = [special.cls, *(id_ for word in words[first:end] for id_ in word), special.sep]
            row_labels = [IGNORE] * len(row)
            own_tags = [] if of_words is None else of_words[own_first:own_end]
            for start, tag in zip(starts, own_tags, strict=False):
                row_labels[start] = tag
            ids.append(row)
            labels.append(row_labels)
            windows.append(WordWindow(number, list(range(own_first, own_end)), starts))

    return Encoded(ids, [[0] * len(row) for row in ids], labels, special.pad, windows)


def _windows(lengths: list[int], room: int) -> list[tuple[int, int, int, int]]:
    """(first word, end, first word of its own, end of those) of each window of a sentence.

    lengths: tokens of each word, at most `room` each. The words that two windows share are divided
    in their middle.
    """
    found: list[tuple[int, int, int, int]] = []
    first = own_first = 0
    while True:
        end, used = first, 0
        while end < len(lengths) and used + lengths[end] <= room:
            used += lengths[end]
            end += 1
        if end == len(lengths):
            return [*found, (first, end, own_first, end)]

        # What is shared leaves room for the next word, so that every window brings a new one.
        spare = min(room // OVERLAP, room - lengths[end])
        next_first, shared = end, 0
        while next_first - 1 > first and shared + lengths[next_first - 1] <= spare:
            next_first -= 1
            shared += lengths[next_first]
        own_end = max(own_first, (next_first + end) // 2)
        found.append((first, end, own_first, own_end))
        first, own_first = next_first, own_end
