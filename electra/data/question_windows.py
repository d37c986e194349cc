"""Questions about texts as token ids, in overlapping windows over a text that is too long.

    [CLS] question [SEP] part of the context [SEP]

Follows `run_squad.py` of google-research/bert: `convert_examples_to_features`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from electra.data.examples import Encoded
from electra.data.offsets import encode_with_offsets
from electra.data.tokenizer import Tokenizer

LONGEST_QUESTION = 64  # tokens; what follows is cut
FEWEST_CONTEXT = 16  # tokens of the context that a window must have room for


class ContextWindow(NamedTuple):
    """A stretch of a context that is one row of a batch."""

    question: int  # index of the question
    first: int  # where in the row the context begins
    offsets: list[tuple[int, int]]  # (start, end) in the context's text, of each token of it here
    # For each of these tokens, whether no other window shows it with more text on both sides: an
    # answer starts in that window alone.
    best: list[bool]


class AskedText(NamedTuple):
    """A question, a context, and the characters of the answer to learn; None: no answer."""

    question: str
    context: str
    answer: tuple[int, int] | None


def encode_questions(
    tokenizer: Tokenizer, asked: Sequence[AskedText], max_len: int, doc_stride: int
) -> Encoded:
    """Tokenise questions. A window begins `doc_stride` tokens after the one before.

    The label of a window is the (start, end) of the answer in its row, both included; (0, 0), which
    is [CLS], where the answer is not, or not whole, in it.
    """
    special = tokenizer.special
    # The same context is asked about often.
    contexts = {text: encode_with_offsets(tokenizer, text) for text in {a.context for a in asked}}
    questions = tokenizer.encode_batch([one.question for one in asked])

    rows: list[list[int]] = []
    types: list[list[int]] = []
    labels: list[tuple[int, ...]] = []
    found: list[ContextWindow] = []
    for number, (one, question) in enumerate(zip(asked, questions, strict=True)):
        question = question[: min(LONGEST_QUESTION, max_len - 3 - FEWEST_CONTEXT)]
        ids, offsets = contexts[one.context]
        answer = _answer_tokens(one.answer, offsets)
        first = len(question) + 2
        windows = context_windows(len(ids), max_len - first - 1, doc_stride)
        for start, end in windows:
            rows.append([special.cls, *question, special.sep, *ids[start:end], special.sep])
            types.append([0] * first + [1] * (end - start + 1))
            inside = answer is not None and start <= answer[0] and answer[1] < end
            label = (
                tuple(first + token - start for token in answer) if inside and answer else (0, 0)
            )
            labels.append(label)
            best = [_best_window(token, windows) == (start, end) for token in range(start, end)]
            found.append(ContextWindow(number, first, offsets[start:end], best))
    return Encoded(rows, types, labels, special.pad, found)


def context_windows(tokens: int, room: int, doc_stride: int) -> list[tuple[int, int]]:
    """The (start, end) of the windows over so many tokens; at least one.

    A stride is at most the room, so that no token is skipped.
    """
    windows = [(0, min(tokens, room))]
    while windows[-1][1] < tokens:
        start = windows[-1][0] + min(doc_stride, room)
        windows.append((start, min(tokens, start + room)))
    return windows


def _best_window(token: int, windows: list[tuple[int, int]]) -> tuple[int, int]:
    """The window with most tokens on the poorer side of a token (`_check_is_max_context`)."""

    def context(window: tuple[int, int]) -> float:
        start, end = window
        return min(token - start, end - 1 - token) + 0.01 * (end - start)

    return max((w for w in windows if w[0] <= token < w[1]), key=context)


def _answer_tokens(
    answer: tuple[int, int] | None, offsets: list[tuple[int, int]]
) -> tuple[int, int] | None:
    """The first and the last token that overlap with the characters of an answer."""
    if answer is None:
        return None
    inside = [
        i
        for i, (start, end) in enumerate(offsets)
        if start < answer[1] and end > answer[0] and start < end
    ]
    return (inside[0], inside[-1]) if inside else None
