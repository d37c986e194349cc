"""Answers as stretches of a text: from the logits of windows to the best ones, and their scores.

Exact match, F1 and the normalisation before them are those of the official `evaluate-v2.0.py` of
SQuAD; the choice among stretches follows `write_predictions` of `run_squad.py` in
google-research/bert.
"""

from __future__ import annotations

import collections
import itertools
import re
import string
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

BEST = 20  # starts and ends of a window that are combined, and answers that are kept
LONGEST_ANSWER = 30  # tokens
_ARTICLES = re.compile(r"\b(a|an|the)\b")


class Candidate(NamedTuple):
    """A possible answer."""

    text: str
    start: int  # of its first character in the context
    end: int
    score: float  # sum of the logits of its start and its end


class Prediction(NamedTuple):
    """What a model says of one question."""

    candidates: tuple[Candidate, ...]  # the best first; none where no window has a context
    null_score: float  # of having no answer: the lowest logits of [CLS] over the windows
    threshold: float  # the answer is empty where null_score is further above the best than this

    @property
    def margin(self) -> float:
        """By how much "no answer" scores above the best answer."""
        return self.null_score - self.candidates[0].score if self.candidates else np.inf

    @property
    def text(self) -> str:
        """The answer; empty: there is none."""
        return "" if self.margin > self.threshold else self.candidates[0].text


def predict_answer(
    context: str, windows: Sequence[tuple[Any, np.ndarray]], threshold: float = np.inf
) -> Prediction:
    """The best answers of one question, whose texts are all different.

    windows: (a `ContextWindow`, its logits (T, 2) of start and end). threshold inf: there always is
    an answer.
    """
    found: list[Candidate] = []
    null_score = np.inf
    for window, logits in windows:
        logits = np.where(np.isfinite(logits), logits, 0.0)
        null_score = min(null_score, float(logits[0].sum()))
        found += _candidates(context, window, logits)

    found.sort(key=lambda one: -one.score)
    distinct: dict[str, Candidate] = {}
    for one in found:
        if one.text:
            distinct.setdefault(one.text, one)  # the best one of this text
    return Prediction(tuple(distinct.values())[:BEST], null_score, threshold)


def _candidates(context: str, window: Any, logits: np.ndarray) -> Iterator[Candidate]:
    """The stretches between the best starts and the best ends of one window."""
    tokens = slice(window.first, window.first + len(window.offsets))
    starts, ends = logits[tokens, 0], logits[tokens, 1]
    best_starts, best_ends = (
        np.argsort(-logits, kind="stable")[:BEST].tolist() for logits in (starts, ends)
    )
    for i, j in itertools.product(best_starts, best_ends):
        if window.best[i] and i <= j < i + LONGEST_ANSWER:
            first, last = window.offsets[i][0], window.offsets[j][1]
            yield Candidate(context[first:last], first, last, float(starts[i] + ends[j]))


def probabilities(prediction: Prediction) -> list[float]:
    """Of the candidates, and last of there being no answer: a softmax over their scores."""
    scores = np.array([*(one.score for one in prediction.candidates), prediction.null_score])
    if np.isinf(prediction.threshold):  # an answer is certain
        scores[-1] = -np.inf
    shares = np.exp(scores - scores.max())
    return (shares / shares.sum()).tolist()


def best_threshold(
    margins: Sequence[float], f1: Sequence[float], no_answer: Sequence[bool]
) -> float:
    """The threshold with the best F1 over questions, some of which have no answer.

    margins: of each prediction. f1: of its best candidate. Follows `find_best_thresh` of the
    official script: questions are answered one by one, the surest first.
    """
    order = np.argsort(margins, kind="stable")
    score = best = float(np.sum(no_answer))  # nothing is answered
    threshold = -np.inf if not len(order) else float(margins[order[0]]) - 1.0
    for i in order.tolist():
        score += -1.0 if no_answer[i] else f1[i]
        if score > best:
            best, threshold = score, float(margins[i])
    return threshold


# ---------------------------------------------------------------- scores


def normalise(answer: str) -> str:
    """Lower case, without punctuation, articles and further white space."""
    kept = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(_ARTICLES.sub(" ", kept).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1.0 where it is one of the answers, normalised. No answers: where it is empty."""
    given = normalise(prediction)
    return float(any(given == normalise(answer) for answer in _right(answers)))


def answer_f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 over the words that it shares with one of the answers."""
    return max(_overlap(prediction, answer) for answer in _right(answers))


def _right(answers: Sequence[str]) -> list[str]:
    """Those of which something is left when they are normalised; the empty one if none is."""
    return [answer for answer in answers if normalise(answer)] or [""]


def _overlap(prediction: str, answer: str) -> float:
    words, gold = normalise(prediction).split(), normalise(answer).split()
    if not words or not gold:
        return float(words == gold)
    common = (collections.Counter(words) & collections.Counter(gold)).total()
    if not common:
        return 0.0
    precision, recall = common / len(words), common / len(gold)
    return 2 * precision * recall / (precision + recall)
