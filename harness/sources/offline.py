"""No network: the hub's libraries are told, and every connection and look-up of this process is refused.

Python reports each connection and look-up to its audit hooks before it is made (PEP 578), whatever library asks for it, and a
hook that raises prevents it. Sockets of this machine's own processes (AF_UNIX) are none of a network's. Out of reach is what
does not go through Python's sockets: a program that a task's own code starts, a library with sockets of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")
LOOKED_UP = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
SENT = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class NoNetwork(ConnectionError):
    """A connection that was refused because a mirror stands for the hub."""


class _State(threading.local):
    allowed = False  # in this thread, for what the user names by itself (a judge)


_state = _State()
_forbidden = False
_hooked = False


def go_offline() -> None:
    """Forbid this process the network, and the hub's libraries in those it starts.

    The libraries read the environment when they are imported, which may have been long ago: their own switches are turned too.
    """
    global _forbidden, _hooked
    for variable in OFFLINE:
        os.environ[variable] = "1"
    for module in ("huggingface_hub.constants", "datasets.config", "evaluate.config"):
        loaded = sys.modules.get(module)
        for switch in OFFLINE:
            if hasattr(loaded, switch):
                setattr(loaded, switch, True)
    _forbidden = True
    if not _hooked:
        sys.addaudithook(_refuse)
        _hooked = True


@contextlib.contextmanager
def network_allowed() -> Iterator[None]:
    """Within, this thread may connect: to a judge, which the user names."""
    before, _state.allowed = _state.allowed, True
    try:
        yield
    finally:
        _state.allowed = before


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if not _forbidden or _state.allowed:
        return
    if event in SENT:
        if arguments[0].family != getattr(socket, "AF_UNIX", None):
            raise NoNetwork(f"the mirror stands for the network, asked for {_shown(arguments[1])}")
    elif event in LOOKED_UP:
        raise NoNetwork(f"the mirror stands for the network, asked for {_shown(arguments[0])}")


def _shown(address: Any) -> str:
    return str(address[0] if isinstance(address, tuple) and address else address)
