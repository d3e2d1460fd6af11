"""Refuses every connection and look-up that would leave this machine, and writes each down: a library may swallow the error.

`sitecustomize` beside this file installs it in every Python process whose PYTHONPATH names this folder.
"""

import os
import socket

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
ALLOWED, REACHED = "HARNESS_TEST_LOOPBACK", "HARNESS_TEST_REACHED"  # "1" lets loopback through; the file attempts go to


def refuse(address):
    reached = os.environ.get(REACHED)
    if reached:
        with open(reached, "a", encoding="utf-8") as handle:
            handle.write(f"{address}\n")
    raise RuntimeError(f"a test reached for the network: {address}")


def checked(host, address):
    """Raises RuntimeError unless `host` is this machine and loopback is allowed here."""
    if not (os.environ.get(ALLOWED) == "1" and (host is None or host in LOOPBACK)):
        refuse(address)


def install(patch=setattr):
    """Put the guard in place. patch: how an attribute is replaced, for fixtures that take it back."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded(original):
        def call(self, address, *args):
            if self.family != socket.AF_UNIX:
                checked(address[0], address)
            return original(self, address, *args)

        return call

    def looked_up(host, *args, **kwargs):
        checked(host, host)
        return getaddrinfo(host, *args, **kwargs)

    patch(socket.socket, "connect", guarded(connect))
    patch(socket.socket, "connect_ex", guarded(connect_ex))
    patch(socket, "getaddrinfo", looked_up)
