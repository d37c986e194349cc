"""An answer without a model: what stands where the text is most like the question.

It is the floor under a reader's scores: a kin of the sliding window of Richardson et al. (2013),
which Rajpurkar et al. (2016) compare with, section 5.
"""

from __future__ import annotations

import re

import numpy as np

from electra.evaluation.answers import normalise

LONGEST = 3  # words of an answer
AROUND = 6  # words on each side that are compared with the question
_WORD = re.compile(r"\S+")


def nearest_stretch(question: str, context: str) -> str:
    """At most `LONGEST` words that are not in the question, in the surroundings that share most
    different words with it; the first such ones. Rare words of the context count more."""
    places = [found.span() for found in _WORD.finditer(context)]
    words = [normalise(context[start:end]) for start, end in places]
    asked = set(normalise(question).split())
    if not words:
        return ""

    times = {word: words.count(word) for word in asked}
    weight = np.array([1 / times[word] if word in asked and word else 0.0 for word in words])
    sums = np.concatenate([[0.0], np.cumsum(weight)])
    best, answer = -1.0, context[places[0][0] : places[0][1]]
    for start in range(len(words)):
        if words[start] in asked or not words[start]:
            continue
        end = start + 1
        while end < min(len(words), start + LONGEST) and words[end] and words[end] not in asked:
            end += 1
        near = sums[min(len(words), end + AROUND)] - sums[max(0, start - AROUND)]
        if near > best:
            best, answer = near, context[places[start][0] : places[end - 1][1]]
    return answer
