"""The JSON of a request: what is read, and what is refused with which words."""

import json

import pytest

from electra.serving.limits import Limits
from electra.serving.question import read_question
from electra.serving.request import Refusal

pytestmark = pytest.mark.fast


def read(models, values, **limits):
    body = values if isinstance(values, bytes) else json.dumps(values).encode()
    return read_question(body, models, Limits(**limits))


def test_texts_and_options_are_those_of_the_model(models):
    model, request = read(models, {"model": "pair", "text": "a", "text_b": "b", "words": True})
    assert model is models["pair"]
    assert request == ({"text": "a", "text_b": "b"}, {"words": True})
    model, request = read(models, {"text": "", "mask": 3})
    assert model is models["words"] and request == ({"text": ""}, {"mask": 3})


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000, b'{"text": ' + b"9" * 5_000 + b"}", b"[]", b'"text"'],
)
def test_what_is_no_json_object_is_a_bad_request(models, body):
    with pytest.raises(Refusal) as caught:
        read(models, body)
    assert caught.value.status == 400 and "JSON" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, '"text" is missing'),
        ({"text": None}, '"text" is missing, or is not a string'),
        ({"text": 3}, "not a string"),
        ({"model": "film2", "text": "a"}, 'no model "film2"; there is words, film, pair, score'),
        ({"model": ["film"], "text": "a"}, "no model"),
        ({"model": "pair", "text": "a"}, '"text_b" is missing'),
        ({"model": "film", "text": "a", "text_b": "b"}, "it takes model, text, words"),
        ({"text": "a", "x" * 500: 1}, "…"),
        ({"text": "a", "mask": True}, '"mask" is not a whole number from 0'),
        ({"text": "a", "mask": -1}, '"mask" is not a whole number from 0'),
        ({"text": "a", "mask": 1.0}, '"mask" is not a whole number from 0'),
        ({"model": "film", "text": "a", "words": 1}, '"words" is not true or false'),
        ({"text": "\ud800"}, "half a surrogate pair"),
        ({"text": "abcdef"}, '"text" has 6 characters; at most 5 are read'),
    ],
)
def test_what_cannot_be_answered_says_why(models, values, why):
    with pytest.raises(Refusal) as caught:
        read(models, values, characters=5)
    assert caught.value.status == 422 and why in str(caught.value)
    assert len(str(caught.value)) < 200


def test_characters_are_counted_not_bytes(models):
    assert read(models, {"text": "😀" * 5}, characters=5).request.texts["text"] == "😀" * 5
