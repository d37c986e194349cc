"""Reading from a client who may be slow, endless or gone."""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Callable
from http import HTTPStatus

from electra.serving.limits import Limits
from electra.serving.request import Refusal

POLL_SECONDS = 0.25  # how often a quiet connection looks whether the server stops
LINGER_SECONDS, LINGER_BYTES = 1.0, 1 << 20


class BoundedReader(io.RawIOBase):
    """What comes from a socket, up to a time and a number of bytes for each request.

    `socket.settimeout` alone bounds the time of one call, so a client that sends a byte a second
    would hold its thread for ever.
    """

    def __init__(
        self, connection: socket.socket, limits: Limits, stopping: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._connection = connection
        self._limits = limits
        self._stopping = stopping
        self._between_requests = True
        self._deadline = 0.0
        self._bytes_left = 0

    def readable(self) -> bool:
        return True

    def expect_request(self) -> None:
        """From here on the connection is kept for a while, unless the server stops."""
        self._between_requests = True
        self._deadline = time.monotonic() + self._limits.idle_seconds
        self._bytes_left = self._limits.head_bytes

    def begin_request(self) -> None:
        """From here on the rest of a request has to come, in time."""
        self._between_requests = False
        self._deadline = time.monotonic() + self._limits.request_seconds

    def expect_body(self, size: int) -> None:
        """Allow for a body of so many bytes."""
        self._bytes_left += size

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read what there is. Raises TimeoutError, and Refusal for a head of too many bytes."""
        if self._bytes_left <= 0:
            why = f"the headers have more than {self._limits.head_bytes:,} bytes"
            raise Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, why)
        count = self._receive(buffer)
        self._bytes_left -= count
        return count

    def _receive(self, buffer: memoryview) -> int:
        while (left := self._deadline - time.monotonic()) > 0:
            if self._between_requests:
                if self._stopping():
                    return 0
                left = min(left, POLL_SECONDS)
            self._connection.settimeout(left)
            with contextlib.suppress(TimeoutError):
                return self._connection.recv_into(buffer)
        raise TimeoutError


def close_gently(connection: socket.socket) -> None:
    """End what is sent, and take what the client still sends for a moment.

    Closing a socket with unread bytes resets the connection, and the client would lose the answer
    that says why.
    """
    deadline, taken = time.monotonic() + LINGER_SECONDS, 0
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while (left := deadline - time.monotonic()) > 0 and taken < LINGER_BYTES:
            connection.settimeout(left)
            data = connection.recv(65_536)
            if not data:
                return
            taken += len(data)
