"""Where in a text each of its tokens is, whatever a tokenizer has normalised on its way.

Offsets are of characters of the text as it was given, so `text[start:end]` is what a token stands
for. White space around it is no part of it.
"""

from __future__ import annotations

import unicodedata

from electra.data.sentencepiece import SentencePieceTokenizer
from electra.data.tokenizer import Tokenizer
from electra.data.wordpiece import WordPieceTokenizer


def encode_with_offsets(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """(ids as `encode_batch` gives them, the (start, end) of each).

    A character that became several tokens, as bytes, is the whole of each of them.
    """
    if isinstance(tokenizer, WordPieceTokenizer):
        return _wordpiece_offsets(tokenizer, text)
    return _sentencepiece_offsets(tokenizer, text)


def _wordpiece_offsets(
    tokenizer: WordPieceTokenizer, text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    words, sources = _normalised_words(tokenizer, text)
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    for word, source in zip(words, sources, strict=True):
        pieces = tokenizer.word_ids(word)
        ends = tokenizer.piece_ends(word, pieces)
        for id_, start, end in zip(pieces, [0, *ends], ends, strict=False):
            ids.append(id_)
            offsets.append((source[start], _with_marks(text, source[end - 1] + 1)))
    return ids, offsets


def _normalised_words(
    tokenizer: WordPieceTokenizer, text: str
) -> tuple[list[str], list[list[int]]]:
    """(the words that are cut into pieces, for each of their characters its place in `text`)."""
    words: list[str] = []
    sources: list[list[int]] = []
    open_word = False
    for i, char in enumerate(text):
        for read_as in tokenizer.read_as(char):
            if read_as.isspace():
                open_word = False
                continue
            if not open_word:
                words.append("")
                sources.append([])
                open_word = True
            words[-1] += read_as
            sources[-1].append(i)
    return words, sources


def _with_marks(text: str, end: int) -> int:
    """The end of a token, with the accents that follow it as characters of their own."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end


def _sentencepiece_offsets(
    tokenizer: SentencePieceTokenizer, text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    pieces = tokenizer.located_pieces(text)
    # A piece of no width is a byte, and the character is that of the byte which has a width.
    offsets: list[tuple[int, int]] = []
    next_end = len(text)
    for _, start, end in reversed(pieces):
        end = end if end > start else max(end, next_end)
        offsets.append(_stripped(text, start, end))
        next_end = end
    return [id_ for id_, _, _ in pieces], offsets[::-1]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch of a text without the white space around it."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
