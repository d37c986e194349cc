"""From checkpoints to a server, and to its end."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Sequence
from types import FrameType
from typing import NamedTuple

import torch

from electra.inference.predictor import load_predictor
from electra.serving.batching import ModelThreads
from electra.serving.kinds import make_model, model_names
from electra.serving.limits import Limits
from electra.serving.server import Server
from electra.serving.site import EVERY_ADDRESS, LOCAL_NAMES, Site

HIGHEST_PORT = 65_535
WAKE_SECONDS = 0.5


class Settings(NamedTuple):
    """What scripts/serve.py is given."""

    checkpoints: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8000
    allowed_hosts: Sequence[str] = ()
    max_len: int | None = None
    batch_tokens: int | None = None
    device: str = "auto"
    amp: str = "auto"
    limits: Limits = Limits()


def open_server(settings: Settings) -> Server:
    """Take the port, then load the checkpoints: a second instance fails at once.

    Raises ValueError for a port, a host, a limit or a checkpoint that cannot be used.
    """
    if not 0 <= settings.port <= HIGHEST_PORT:
        raise ValueError(f"--port {settings.port} is outside 0 to {HIGHEST_PORT}")
    for flag, value in (
        ("--max-characters", settings.limits.characters),
        ("--max-waiting", settings.limits.waiting),
        ("--timeout", settings.limits.answer_seconds),
    ):
        if not 0 < value < threading.TIMEOUT_MAX:
            raise ValueError(f"{flag} {value} is not above 0")
    names = {*LOCAL_NAMES, settings.host, *settings.allowed_hosts}
    if settings.host in EVERY_ADDRESS:
        names.add(socket.gethostname())
    site = Site(
        settings.limits,
        frozenset(name.lower() for name in names),
        ModelThreads(settings.limits),
    )
    server = Server(settings.host, settings.port, site)
    try:
        _load_models(site, settings)
    except BaseException:
        server.server_close()
        raise
    return server


def _load_models(site: Site, settings: Settings) -> None:
    names = model_names(settings.checkpoints)
    for name, path in zip(names, settings.checkpoints, strict=True):
        predictor = load_predictor(
            path, settings.max_len, settings.batch_tokens, settings.device, settings.amp
        )
        site.models[name] = make_model(name, predictor)
        if predictor.device.type == "cpu":  # a GPU does one batch at a time
            site.model_threads.cores = torch.get_num_threads()


def serve_until_stopped(server: Server) -> None:
    """Answer until Ctrl-C or SIGTERM, and then finish what is under way.

    A second signal raises KeyboardInterrupt. Call it in the main thread.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    handlers = {one: signal.signal(one, on_signal) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        thread = threading.Thread(target=server.serve_forever, name="accept", daemon=True)
        thread.start()
        while not stop.wait(WAKE_SECONDS):
            pass
        with contextlib.suppress(OSError):  # nobody reads the output any more
            print("finishing what is under way …", flush=True)
        server.stop()
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
