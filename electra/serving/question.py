"""What a client asks: a model, texts and options, read from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from electra.files import is_encodable
from electra.serving.kinds import Model
from electra.serving.limits import Limits
from electra.serving.request import Refusal, Request


class Question(NamedTuple):
    """A request and the model that is to answer it."""

    model: Model
    request: Request


def read_question(body: bytes, models: Mapping[str, Model], limits: Limits) -> Question:
    """The question that the JSON of a request asks.

    Raises Refusal: 400 for what is not a JSON object in UTF-8, 422 for one that asks for something
    that is not there, for a text that is missing or too long, and for unknown keys.
    """
    try:
        values = json.loads(body.decode())
    except (ValueError, RecursionError):  # ValueError also for a number of thousands of digits
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body is not JSON in UTF-8") from None
    if not isinstance(values, dict):
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body is not a JSON object") from None

    model = _model_of(values.pop("model", None), models)
    kind = model.kind
    texts = {one.name: _text_of(one.name, values, limits) for one in model.inputs}
    options = {name: values.pop(name) for name in kind.options if name in values}
    if values:
        taken = ["model", *texts, *kind.options]
        raise _unusable(
            f"{_shown(next(iter(values)))} is not a key that {model.name} takes; "
            f"it takes {', '.join(taken)}"
        )
    for name, value in options.items():
        # True is an int in Python, but no number in JSON.
        if type(value) is not kind.options[name] or (type(value) is int and value < 0):
            wanted = {bool: "true or false", int: "a whole number from 0"}[kind.options[name]]
            raise _unusable(f'"{name}" is not {wanted}')
    return Question(model, Request(texts, options))


def _model_of(name: Any, models: Mapping[str, Model]) -> Model:
    if name is None:
        return next(iter(models.values()))
    if isinstance(name, str) and name in models:
        return models[name]
    raise _unusable(f"there is no model {_shown(name)}; there is {', '.join(models)}")


def _text_of(name: str, values: dict[str, Any], limits: Limits) -> str:
    text = values.pop(name, None)
    if not isinstance(text, str):
        raise _unusable(f'"{name}" is missing, or is not a string')
    if len(text) > limits.characters:
        raise _unusable(
            f'"{name}" has {len(text):,} characters; at most {limits.characters:,} are read'
        )
    if not is_encodable(text):
        raise _unusable(f'"{name}" has half a surrogate pair in it, which no text has')
    return text


def _unusable(why: str) -> Refusal:
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, why)


def _shown(value: Any, longest: int = 60) -> str:
    """A value of a client as JSON, of bounded length."""
    shown = json.dumps(value)
    return shown if len(shown) <= longest else f"{shown[:longest]}…"
