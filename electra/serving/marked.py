"""What a tagger and a reader mark in a text."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from electra.inference.answers import answer_questions
from electra.inference.entities import tag_texts
from electra.inference.predictor import Predictor
from electra.inference.texts import Record
from electra.serving.request import Refusal, Request


def once(predictor: Predictor, request: Request) -> int:
    """How often the model reads the text."""
    return 1


def answer_entities(predictor: Predictor, requests: list[Request]) -> list[dict[str, Any]]:
    """For each request {"entities": [{"type", "start", "end", "text", "score"}]}.

    Of a tagger of single words each word is an entity, whose type is its tag.
    """
    records = [Record("the request", request.texts["text"]) for request in requests]
    answers = []
    for found in tag_texts(predictor, records):
        words = [{"type": word.pop("tag"), **word} for word in found.get("words", [])]
        answers.append({"entities": found.get("entities", words)})
    return answers


def answer_answers(predictor: Predictor, requests: list[Request]) -> list[dict[str, Any]]:
    """For each request {"answers": [{"text", "start", "end", "score"}]}, the best first.

    An empty text in the first place: there is no answer. Raises Refusal for an empty text or an
    empty question.
    """
    for request in requests:
        for name in ("text", "question"):
            if not request.texts[name].strip():
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"the {name} is empty")
    records = [
        Record("the request", request.texts["text"], question=request.texts["question"])
        for request in requests
    ]
    return [{"answers": _ordered(found)} for found in answer_questions(predictor, records)]


def _ordered(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers, after "no answer" where that is the model's."""
    answers = found["answers"]
    if found["answer"]:
        return answers
    left = max(0.0, 1.0 - sum(answer["score"] for answer in answers))
    return [{"text": "", "start": 0, "end": 0, "score": round(left, 6)}, *answers]
