"""What all connections share: the models, the limits, and the names of the server."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass, field

from electra.serving.batching import ModelThreads
from electra.serving.kinds import Model
from electra.serving.limits import Limits

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})


@dataclass
class Site:
    """The state of a server while it runs. `models` are complete before it answers."""

    limits: Limits
    names: frozenset[str]  # host names by which clients may reach it, in lower case
    model_threads: ModelThreads
    models: dict[str, Model] = field(default_factory=dict)  # by name, in the order of --ckpt
    stopping: threading.Event = field(default_factory=threading.Event)

    def is_own_name(self, host: str) -> bool:
        """Whether a Host header names this server, with any port: a tunnel has a port of its own.

        A page of another site can make a browser take that site's name for this machine's address
        (DNS rebinding); the header then has that name. An address cannot be rebound, so a server
        that listens at every address takes any of them.
        """
        name = host.lower()
        if name.startswith("["):
            name = name[1:].partition("]")[0]
        elif name.count(":") == 1:
            name = name.partition(":")[0]
        return name in self.names or (bool(self.names & EVERY_ADDRESS) and _is_address(name))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
