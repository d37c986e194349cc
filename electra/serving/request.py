"""A request as a model gets it, and what a client gets that asks for too much."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NamedTuple


class Request(NamedTuple):
    """Texts by the names of the model's inputs, and the options that the client gave."""

    texts: dict[str, str]
    options: dict[str, Any]


class Refusal(Exception):
    """A request that gets an error in place of an answer: a status of HTTP, and why."""

    def __init__(self, status: HTTPStatus, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def busy(why: str) -> Refusal:
    """503: the client should try again in a second."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why, Retry_After="1")
