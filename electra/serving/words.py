"""The words of a text as a reader sees them, with their places in the text."""

from __future__ import annotations

import re
from typing import NamedTuple

from electra.data.sentencepiece import WORD_START
from electra.data.tokenizer import Tokenizer

# An ideograph; a run of letters and digits, with the apostrophes inside it; a run of other signs.
_IDEOGRAPH = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_WORD = re.compile(rf"{_IDEOGRAPH}|(?:(?!{_IDEOGRAPH})\w)+(?:['’](?!{_IDEOGRAPH})\w+)*|[^\w\s]+")
_CHUNK = re.compile(r"\S+")


class Word(NamedTuple):
    """A word: its characters are text[start:end], counted as Python does, and its token ids."""

    start: int
    end: int
    ids: list[int]


def find_words(text: str) -> list[tuple[int, int]]:
    """(start, end) of each word and of each run of other signs; white space is in none."""
    return [found.span() for found in _WORD.finditer(text)]


def tokenized_words(tokenizer: Tokenizer, texts: list[str]) -> list[list[Word]]:
    """The words of each text. Their ids, one after the other, are what a model reads.

    Words that no token boundary separates are one word, and so is everything between two spaces
    whose tokens do not line up with its characters, as with an unknown sign. Characters that the
    tokenizer drops are in no word.
    """
    chunks = [(number, c) for number, text in enumerate(texts) for c in _CHUNK.finditer(text)]
    encoded = tokenizer.encode_batch([chunk[0] for _, chunk in chunks])
    words: list[list[Word]] = [[] for _ in texts]
    for (number, chunk), ids in zip(chunks, encoded, strict=True):
        if ids:
            words[number] += _split_chunk(tokenizer, chunk.start(), chunk[0], ids)
    return words


def _split_chunk(tokenizer: Tokenizer, offset: int, chunk: str, ids: list[int]) -> list[Word]:
    """The words of what stands between two spaces."""
    lengths = [len(piece.removeprefix(WORD_START)) for piece in tokenizer.pieces(ids)]
    if sum(lengths) != len(chunk):
        return [Word(offset, offset + len(chunk), ids)]

    ends = {end for _, end in find_words(chunk)}
    words: list[Word] = []
    start = end = first = 0
    for number, length in enumerate(lengths, 1):
        end += length
        rest = len(chunk) - end  # 0: tokens that follow have no characters, and belong here
        if end in ends and end > start and (rest or number == len(ids)):
            words.append(Word(offset + start, offset + end, ids[first:number]))
            start, first = end, number
    return words or [Word(offset, offset + len(chunk), ids)]
