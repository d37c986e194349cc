"""What one client may ask of the server, so that it harms no other."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """Bounds of the server. What is over one of them gets an answer that says so."""

    characters: int = 10_000  # of a text
    head_bytes: int = 65_536  # of a request's first line and its headers
    body_bytes: int = 262_144  # of a request's JSON
    waiting: int = 256  # requests that wait for the model
    connections: int = 128  # open at a time
    request_seconds: float = 10.0  # until a request has arrived, and until its answer is taken
    idle_seconds: float = 30.0  # that a connection is kept between two requests
    answer_seconds: float = 30.0  # that a request waits for the model
    batch_requests: int = 64  # that a thread answers at a time, at most
    batch_characters: int = 65_536  # that it reads for them; one longer request is read alone
