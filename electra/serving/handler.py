"""One connection: its requests, one after the other, and their answers."""

from __future__ import annotations

import http.server
import io
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any, NamedTuple

from electra.serving.connection import BoundedReader
from electra.serving.question import read_question
from electra.serving.request import Refusal, busy
from electra.serving.site import Site

LONGEST_LINE = 8_192  # bytes of "POST /v1/predict HTTP/1.1"
JSON_TYPE = "application/json"
# Nothing is fetched from elsewhere, nothing inside the page's own text runs, and no other page may
# show this one in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Answer(NamedTuple):
    """A body and its type."""

    body: bytes
    content_type: str = f"{JSON_TYPE}; charset=utf-8"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves one connection. The parser of requests is that of the standard library."""

    protocol_version = "HTTP/1.1"  # with it a connection is kept for the next request

    def setup(self) -> None:
        self.connection = self.request
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.site: Site = self.server.site  # type: ignore[attr-defined]
        self.reader = BoundedReader(self.connection, self.site.limits, self.site.stopping.is_set)
        self.rfile: io.BufferedReader = io.BufferedReader(self.reader)
        self.wfile = io.BytesIO()

    def finish(self) -> None:
        """Nothing is left to send."""

    def version_string(self) -> str:
        """What the header Server says: no versions."""
        return "electra"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged: their texts are the users'."""

    def handle_one_request(self) -> None:
        """Read a request and answer it; sets `close_connection`. Raises OSError for a hang-up."""
        self.close_connection = True
        self.reader.expect_request()
        try:
            if not self.rfile.peek(1):
                return
        except TimeoutError:  # nobody asks any more
            return

        self.reader.begin_request()
        self.command, self.request_version = "", "HTTP/1.1"
        try:
            self._read_head()
            status, answer, headers = HTTPStatus.OK, self.respond(), {}
        except Refusal as refusal:
            status, answer, headers = refusal.status, _error(str(refusal)), refusal.headers
        except TimeoutError:
            seconds = self.site.limits.request_seconds
            why = f"the request did not arrive within {seconds:g} seconds"
            status, answer, headers = HTTPStatus.REQUEST_TIMEOUT, _error(why), {}
            self.close_connection = True
        self._send(status, answer, headers)

    def _read_head(self) -> None:
        """The first line and the headers, up to what may come with any request."""
        self.raw_requestline = self.rfile.readline(LONGEST_LINE + 1)
        if len(self.raw_requestline) > LONGEST_LINE:
            why = f"the address has more than {LONGEST_LINE:,} bytes"
            raise Refusal(HTTPStatus.REQUEST_URI_TOO_LONG, why)
        if not self.parse_request():  # an empty line
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request is empty")
        if self.request_version == "HTTP/0.9":
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request does not say which HTTP it speaks")
        self.wants_close, self.close_connection = self.close_connection, True
        self.body_size = self._body_size()
        self._check_host()
        # A body that nobody reads would be taken for the next request.
        self.close_connection = self.wants_close or self.body_size > 0

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> Any:
        """What the parser calls for a request that it cannot read."""
        self.close_connection = True
        raise Refusal(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def handle_expect_100(self) -> bool:
        """The client waits for leave to send the body; it gets it where the body is read."""
        return True

    def _body_size(self) -> int:
        """Raises Refusal for a size that is missing where there is a body, wrong or too large."""
        if self.headers.get("Transfer-Encoding") is not None:
            why = "a body needs a Content-Length; chunks are not read"
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, why)
        given = self.headers.get_all("Content-Length", ["0"])
        size = given[0].strip()
        if len(given) > 1 or not (size.isascii() and size.isdigit()):
            raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length is not one whole number")
        most = self.site.limits.body_bytes
        if len(size) > 15 or int(size) > most:
            why = f"the body has more than {most:,} bytes"
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        return int(size)

    def _check_host(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request needs one Host header")
        if not self.site.is_own_name(hosts[0].strip()):
            why = "this server does not go by the name in the Host header; see --allow-host"
            raise Refusal(HTTPStatus.MISDIRECTED_REQUEST, why)

    def respond(self) -> Answer:
        """The answer to a request whose head has been read; raises Refusal."""
        path = self.path.partition("?")[0]
        if path not in ROUTES:
            raise Refusal(HTTPStatus.NOT_FOUND, f"there is nothing here; there is {_PATHS}")
        methods = ROUTES[path]
        method = "GET" if self.command == "HEAD" else self.command
        if method not in methods:
            allowed = ", ".join((*methods, "HEAD") if "GET" in methods else methods)
            why = f"{path} takes {allowed} only"
            raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, why, Allow=allowed)
        return methods[method](self)

    # ---------------------------------------------------------------- what there is

    def health(self) -> Answer:
        """Whether it answers, and how much waits."""
        if self.site.stopping.is_set():
            raise busy("the server is stopping")
        threads = self.site.model_threads
        return _json({"status": "ok", "waiting": threads.waiting, "answered": threads.answered})

    def list_models(self) -> Answer:
        """What can be asked of which model."""
        models = [model.describe() for model in self.site.models.values()]
        limits = {"characters": self.site.limits.characters}
        return _json({"models": models, "limits": limits})

    def predict(self) -> Answer:
        """A model's answer to the JSON in the body."""
        self._check_origin()
        body = self._read_body()
        question = read_question(body, self.site.models, self.site.limits)
        answer = self.site.model_threads.ask(question)
        model = question.model
        return _json({"model": model.name, "kind": model.kind_name, **answer})

    def _check_origin(self) -> None:
        """Refuse what a page of another site sends; a browser names that site in Origin."""
        origin = self.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != self.headers["Host"].strip():
            why = "a page of another site may not ask this server"
            raise Refusal(HTTPStatus.FORBIDDEN, why)
        if self.headers.get_content_type() != JSON_TYPE:
            why = f"the body has to be JSON, with Content-Type: {JSON_TYPE}"
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why)

    def _read_body(self) -> bytes:
        if not self.body_size:
            why = "the request has no body; it needs one of JSON, with its Content-Length"
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, why)
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.reader.expect_body(self.body_size)
        body = self.rfile.read(self.body_size)
        if len(body) < self.body_size:
            raise ConnectionAbortedError("the client hung up")
        self.close_connection = self.wants_close
        return body

    # ---------------------------------------------------------------- sending

    def _send(self, status: HTTPStatus, answer: Answer, headers: dict[str, str]) -> None:
        """Send an answer in one piece, within the time of a request."""
        self.close_connection |= self.site.stopping.is_set()
        self.request_version = "HTTP/1.1"  # without one the headers would be left out
        self.wfile = io.BytesIO()
        self.send_response(status)
        sizes = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        close = {"Connection": "close"} if self.close_connection else {}
        for name, value in {**sizes, **HEADERS, **headers, **close}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.connection.settimeout(self.site.limits.request_seconds)
        self.connection.sendall(self.wfile.getvalue())


class TurnedAway(Handler):
    """A connection for which there is no room: its first request gets 503."""

    def respond(self) -> Answer:
        self.close_connection = True
        raise busy(f"{self.site.limits.connections:,} connections are open already; try again")


def _json(value: object) -> Answer:
    return Answer(json.dumps(value, ensure_ascii=False).encode())


def _error(why: str) -> Answer:
    return _json({"error": why})


def _page_file(name: str, content_type: str) -> Callable[[Handler], Answer]:
    def read(handler: Handler) -> Answer:
        body = files(__package__).joinpath(name).read_bytes()
        return Answer(body, f"{content_type}; charset=utf-8")

    return read


ROUTES: dict[str, dict[str, Callable[[Handler], Answer]]] = {
    "/": {"GET": _page_file("page.html", "text/html")},
    "/page.css": {"GET": _page_file("page.css", "text/css")},
    "/page.js": {"GET": _page_file("page.js", "text/javascript")},
    "/health": {"GET": Handler.health},
    "/v1/models": {"GET": Handler.list_models},
    "/v1/predict": {"POST": Handler.predict},
}
_PATHS = ", ".join(path for path in ROUTES if not path.startswith("/page."))
