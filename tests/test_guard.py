"""The network guard of the tests itself: in the test's process and in every process it starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import GUARD_FOLDER
from tests.guard import network_guard

REACH = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"


def attempt(code):
    environment = {**os.environ, "PYTHONPATH": str(GUARD_FOLDER)}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


def forget():
    """Take the attempts of this test back, which the guard would hold against it."""
    path = Path(os.environ[network_guard.REACHED])
    text = path.read_text(encoding="utf-8")
    path.unlink()
    return text


@pytest.mark.parametrize("reach", [lambda: socket.create_connection(("192.0.2.1", 80)), lambda: socket.getaddrinfo("hub", 443)])
def test_nothing_leaves_the_process(reach):
    with pytest.raises(RuntimeError, match="reached for the network"):
        reach()
    assert forget()


def test_nothing_leaves_a_process_that_a_test_starts_even_if_the_error_is_swallowed():
    assert attempt(f"try:\n    {REACH}\nexcept Exception:\n    pass").returncode == 0
    assert "127.0.0.1" in forget()


@pytest.mark.loopback
def test_loopback_is_open_where_a_test_says_so():
    assert "ConnectionRefusedError" in attempt(REACH).stderr, "nothing listens there, but the guard let it through"
    with pytest.raises(RuntimeError, match="reached for the network"):
        socket.create_connection(("192.0.2.1", 80))
    assert forget()
