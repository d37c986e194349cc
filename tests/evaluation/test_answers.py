"""Answers: the choice among stretches, the threshold of "no answer", exact match and F1."""

import random

import numpy as np
import pytest

from electra.data.question_windows import ContextWindow
from electra.evaluation.answer_floor import nearest_stretch
from electra.evaluation.answers import (
    answer_f1,
    best_threshold,
    exact_match,
    normalise,
    predict_answer,
    probabilities,
)

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    "answer, expected",
    [
        ("The  Cat!", "cat"),
        ("a U.S. dollar", "us dollar"),
        ("theatre an", "theatre"),
        ("The", ""),
        ("İ", "i̇"),
        ("naïve—café", "naïve—café"),
    ],
)
def test_answers_are_normalised_as_the_official_script_does(answer, expected):
    assert normalise(answer) == expected


@pytest.mark.parametrize(
    "prediction, answers, em, f1",
    [
        ("the cat", ["Cat"], 1.0, 1.0),
        ("black cat", ["cat", "black dog"], 0.0, 2 / 3),
        ("cat cat", ["cat"], 0.0, 2 / 3),
        ("dog", ["cat"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("dog", [], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("the", ["a"], 1.0, 1.0),  # both are nothing
    ],
)
def test_exact_match_and_f1(prediction, answers, em, f1):
    assert exact_match(prediction, answers) == em
    assert answer_f1(prediction, answers) == pytest.approx(f1)


CONTEXT = "alpha beta gamma delta"
OFFSETS = [(0, 5), (6, 10), (11, 16), (17, 22)]


def window(logits, first=2, offsets=OFFSETS, best=None):
    """(a window over the context, the logits (T, 2) of its row)."""
    row = np.full((first + len(offsets) + 1, 2), -9.0)
    row[0] = (1.0, 1.0)
    row[first : first + len(offsets)] = logits
    return ContextWindow(0, first, offsets, best or [True] * len(offsets)), row


def test_the_best_stretch_wins_and_ends_after_its_start():
    logits = [(0.0, 5.0), (4.0, 0.0), (0.0, 3.0), (0.0, 0.0)]
    found = predict_answer(CONTEXT, [window(logits)])
    # The end of alpha, 5.0, is before the start of beta.
    assert (found.text, found.candidates[0].score) == ("beta gamma", 7.0)
    assert (found.candidates[0].start, found.candidates[0].end) == (6, 16)
    assert found.null_score == 2.0 and found.margin == -5.0
    assert len({one.text for one in found.candidates}) == len(found.candidates)
    scores = [one.score for one in found.candidates]
    assert scores == sorted(scores, reverse=True)


def test_no_other_stretch_scores_higher():
    draw = np.random.default_rng(0)
    for _ in range(30):
        logits = draw.normal(size=(4, 2))
        best = max(
            (logits[i, 0] + logits[j, 1], CONTEXT[OFFSETS[i][0] : OFFSETS[j][1]])
            for i in range(4)
            for j in range(i, 4)
        )
        found = predict_answer(CONTEXT, [window(logits)]).candidates[0]
        assert (found.score, found.text) == (pytest.approx(best[0]), best[1])


def test_an_answer_starts_in_the_window_with_most_context():
    strong = [(9.0, 9.0), (0.0, 0.0)]
    at_the_edge = window(strong, offsets=OFFSETS[:2], best=[False, True])
    other = window([(1.0, 1.0), (0.0, 0.0)], offsets=OFFSETS[:2])
    assert predict_answer(CONTEXT, [at_the_edge, other]).candidates[0].score == 2.0


def test_no_answer_wins_above_the_threshold():
    found = predict_answer(CONTEXT, [window([(0.0, 0.0)] * 4)])
    assert found.text == "alpha" and found.margin == 2.0
    assert found._replace(threshold=1.9).text == "" and found._replace(threshold=2.1).text
    assert probabilities(found)[-1] == 0.0
    assert probabilities(found._replace(threshold=1.9))[-1] > 0.2
    assert sum(probabilities(found)) == pytest.approx(1.0)


def test_a_model_that_broke_down_answers_something():
    found = predict_answer(CONTEXT, [window([(np.nan, np.inf)] * 4)])
    assert found.text == "alpha" and np.isfinite(found.null_score)


def test_the_threshold_is_the_best_one():
    draw = random.Random(0)
    for _ in range(50):
        count = draw.randint(1, 8)
        margins = [draw.choice((-2.0, -1.0, 0.5, 1.0, 3.0)) + draw.random() for _ in range(count)]
        no_answer = [draw.random() < 0.5 for _ in range(count)]
        f1 = [0.0 if nothing else draw.random() for nothing in no_answer]

        def score(threshold):
            return sum(
                f if m <= threshold else float(n)
                for m, f, n in zip(margins, f1, no_answer, strict=True)
            )

        chosen = best_threshold(margins, f1, no_answer)
        assert score(chosen) == pytest.approx(max(map(score, [-9.0, *margins])))


def test_the_floor_takes_what_stands_beside_the_words_of_the_question():
    assert nearest_stretch("", "") == "" and nearest_stretch("why", "why") == "why"
    far = "the mill Ada built " + "alpha beta " * 30
    assert nearest_stretch("who built the mill ?", far) == "Ada"
