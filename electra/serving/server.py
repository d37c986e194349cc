"""The server: a port, and a thread for each connection, bounded in number."""

from __future__ import annotations

import errno
import http.server
import socket
import socketserver
import sys
import threading
import traceback

from electra.serving.connection import close_gently
from electra.serving.handler import Handler, TurnedAway
from electra.serving.site import EVERY_ADDRESS, Site

MOST_TURNED_AWAY = 16  # connections over the limit that are told so; more are closed at once
# What a user can do where a port cannot be had.
ADVICE = {
    errno.EADDRINUSE: "port {port} is in use, perhaps by another serve.py; stop it, or give "
    "another port with --port (0: any that is free)",
    errno.EACCES: "port {port} is for the administrator; give one above 1023 with --port",
    errno.EADDRNOTAVAIL: "--host {host} is no address of this machine",
}


class Server(http.server.HTTPServer):
    """Listens from its creation to `stop`; `serve_forever` answers.

    Raises ValueError for a port that is in use or not allowed, and a host that is not this machine.
    """

    request_queue_size = 128

    def __init__(self, host: str, port: int, site: Site) -> None:
        self.site = site
        self._open = 0  # connections
        self._changed = threading.Condition()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except socket.gaierror:
            raise ValueError(f"--host {host} is no address of this machine") from None
        except OSError as problem:
            advice = ADVICE.get(problem.errno or 0)
            if advice is None:
                raise
            raise ValueError(advice.format(host=host, port=port)) from None

    def server_bind(self) -> None:
        """As `HTTPServer`, without asking a name server for the name of this machine."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is, as a browser on this machine reaches it."""
        host = self.server_name
        if host in EVERY_ADDRESS:
            host = "localhost"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"

    def process_request(  # type: ignore[override]
        self, request: socket.socket, client_address: object
    ) -> None:
        """Start a thread for a connection, unless too many are open."""
        most = self.site.limits.connections
        with self._changed:
            if self._open >= most + MOST_TURNED_AWAY:
                request.close()
                return
            handler = Handler if self._open < most else TurnedAway
            self._open += 1
        thread = threading.Thread(
            target=self._serve, args=(handler, request, client_address), daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            self._close(request)

    def _serve(self, handler: type[Handler], request: socket.socket, client: object) -> None:
        try:
            handler(request, client, self)
            close_gently(request)
        except OSError:
            pass  # the client hung up
        except Exception as problem:  # a bug; the other connections go on
            traceback.print_exception(problem, file=sys.stderr)
        finally:
            self._close(request)

    def _close(self, request: socket.socket) -> None:
        request.close()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Close the port, finish what is under way, and return.

        `serve_forever` runs in another thread. A client that is too slow, or a model, is waited for
        no longer than the limits allow.
        """
        limits = self.site.limits
        self.site.stopping.set()
        self.shutdown()
        self.server_close()
        with self._changed:
            seconds = limits.request_seconds + limits.answer_seconds
            self._changed.wait_for(lambda: self._open == 0, seconds)
        self.site.model_threads.stop(limits.answer_seconds)
