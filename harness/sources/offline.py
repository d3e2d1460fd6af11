"""No network: the hub's libraries are set offline, and every connection and look-up of this process is refused.

Python reports each connection and look-up to its audit hooks before it is made (PEP 578), whatever library makes it, and a
hook that raises prevents it. Unix sockets stay allowed. Not covered is what does not go through Python's sockets: a program that
a task's own code starts, a library with sockets of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "TRANSFORMERS_OFFLINE")
LOOKUP_EVENTS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
CONNECT_EVENTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}


class NetworkBlocked(ConnectionError):
    """A connection that was refused because a mirror is used in place of the hub."""


class _ThreadState(threading.local):
    allowed = False  # in this thread, for a server that the user names (a judge)


_thread_state = _ThreadState()
_forbidden = False
_hook_installed = False


def use_caches_only() -> None:
    """Let the hub's libraries, here and in processes that are started, use what is on this machine and ask for nothing.

    They read the environment when they are imported, which may have happened already: their own switches are set too.
    """
    for variable in OFFLINE_VARIABLES:
        os.environ[variable] = "1"
    for module in ("huggingface_hub.constants", "datasets.config", "evaluate.config"):
        loaded = sys.modules.get(module)
        for switch in OFFLINE_VARIABLES:
            if hasattr(loaded, switch):
                setattr(loaded, switch, True)


def go_offline() -> None:
    """Forbid this process the network, and the hub's libraries in those it starts."""
    global _forbidden, _hook_installed
    use_caches_only()
    _forbidden = True
    if not _hook_installed:
        sys.addaudithook(_audit_hook)
        _hook_installed = True


@contextlib.contextmanager
def network_allowed() -> Iterator[None]:
    """Within, this thread may connect: to a judge, which the user names."""
    previous, _thread_state.allowed = _thread_state.allowed, True
    try:
        yield
    finally:
        _thread_state.allowed = previous


def _audit_hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _forbidden or _thread_state.allowed:
        return
    connects = event in CONNECT_EVENTS and arguments[0].family != getattr(socket, "AF_UNIX", None)
    if connects or event in LOOKUP_EVENTS:
        address = arguments[1 if connects else 0]
        host = address[0] if isinstance(address, tuple) and address else address
        raise NetworkBlocked(f"no network with --mirror; something asked for {host}")
