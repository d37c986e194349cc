"""The schemes that write spans as one tag a word: IOB1, IOB2 and IOBES.

    the words     in  New York  City  Paris  , Rome
    IOB1          O   I-LOC I-LOC I-LOC B-LOC O I-LOC     B- only where a span touches its like
    IOB2 (BIO)    O   B-LOC I-LOC I-LOC B-LOC O B-LOC     every span begins with B-
    IOBES         O   B-LOC I-LOC E-LOC S-LOC O S-LOC     also E- ends, S- is a single word
                                                          (BILOU spells them L- and U-)

Tags that are of no scheme, such as parts of speech, are classes of words ("plain").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Scheme = Literal["iob1", "iob2", "iobes", "plain"]
OUTSIDE = "O"
_TAG = re.compile(r"([BIESLU])-(.+)")
_BEGINS, _ENDS = "BSU", "ESLU"  # prefixes that always begin, or end, a span


class Span(NamedTuple):
    """Words that belong together."""

    type: str
    start: int  # index of the first word
    end: int  # one past the last word


def scheme_of(sentences: Iterable[Sequence[str]]) -> Scheme:
    """Which scheme the tags of a file are in.

    IOB1 and IOB2 differ in whether a span that touches no other begins with I- or B-.
    """
    prefixes: set[str] = set()
    begins_with_i = False
    for tags in sentences:
        before = OUTSIDE
        for tag in tags:
            match = _TAG.fullmatch(tag)
            if match is None and tag != OUTSIDE:
                return "plain"
            if match is not None:
                prefixes.add(match[1])
                begins_with_i |= match[1] == "I" and before == OUTSIDE
            before = tag
    if not prefixes:
        return "plain"
    if prefixes & set("ESLU"):
        return "iobes"
    return "iob1" if begins_with_i else "iob2"


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The spans that tags of any scheme mark, as the evaluation of CoNLL counts them.

    A tag opens a span where it begins one by its prefix, where the word before is outside or of
    another type, or where the span before has ended by its prefix. So an I- at the start, or after
    another type, opens a span of its own (`conlleval`, `startOfChunk`).
    """
    spans: list[Span] = []
    start, kind, closed = 0, "", True
    for i, tag in enumerate([*tags, OUTSIDE]):
        match = _TAG.fullmatch(tag)
        prefix, found = match.groups() if match else ("", "")
        if kind and (closed or found != kind or prefix in _BEGINS or not prefix):
            spans.append(Span(kind, start, i))
            kind = ""
        if found and not kind:
            start, kind = i, found
        closed = bool(prefix) and prefix in _ENDS
    return spans


def to_iob2(tags: Sequence[str]) -> list[str]:
    """Tags of any scheme in IOB2."""
    return iob2_tags(spans_of(tags), len(tags))


def iob2_tags(spans: Iterable[Span], words: int) -> list[str]:
    """The tags of so many words with these spans, which do not overlap."""
    tags = [OUTSIDE] * words
    for span in spans:
        tags[span.start] = f"B-{span.type}"
        for i in range(span.start + 1, span.end):
            tags[i] = f"I-{span.type}"
    return tags


def iob2_labels(types: Iterable[str]) -> tuple[str, ...]:
    """O, then B- and I- of each type, sorted."""
    return (OUTSIDE, *(f"{prefix}-{name}" for name in sorted(set(types)) for prefix in "BI"))
