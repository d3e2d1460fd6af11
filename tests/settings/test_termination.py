"""Ctrl-C and SIGTERM: one line, 130 or 143, within two seconds, whatever the program is doing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from harness.settings.termination import MAX_CLOSING_SECONDS

PROGRAM = """
import sys, time
from harness.settings.termination import TERMINATION
TERMINATION.install()
def swallow():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass
def native():
    import hashlib
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # for hours in C code
def importing():
    with TERMINATION.nothing_open():
        swallow()
def over():
    TERMINATION.all_closed()
    swallow()
def closing():  # as harness.__main__ does: libraries that take long to be taken down are not waited for
    import atexit
    class Library:
        def __del__(self):
            time.sleep(60)
    global library
    library = Library()
    atexit.register(print, "exit functions run", flush=True)
    try:
        time.sleep(60)
    except BaseException:
        sys.exit(1)
    finally:
        TERMINATION.all_closed()
def forked():
    import os, signal
    child = os.fork()
    if child == 0:
        os.kill(os.getpid(), signal.SIGTERM)  # a task's process that is ended; Python writes to what it shares with its parent
        os._exit(0)
    os.waitpid(child, 0)
    print("working", flush=True)
    time.sleep(4)
    os._exit(7)
print("working", flush=True)
globals()[sys.argv[1]]()
"""


def started(what):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, what], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None and process.stdout.readline() == "working\n"
    return process


@pytest.mark.parametrize("what", ["swallow", "native", "importing", "over", "closing"])
@pytest.mark.parametrize(("sent", "code", "reason"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")])
def test_one_line_and_the_exit_code_whatever_swallows_the_exception(what, sent, code, reason):
    """In time, on a machine that is not too busy: the bound on closing is what this program sets."""
    assert MAX_CLOSING_SECONDS < 2
    process = started(what)
    time.sleep(0.2)  # into the work
    process.send_signal(sent)
    if what != "closing":
        process.send_signal(sent)  # impatience changes nothing, but for exit functions
    output, errors = process.communicate(timeout=60)
    assert output == ("exit functions run\n" if what == "closing" else "")
    assert (process.returncode, errors) == (
        code,
        f"harness: {reason}; what is finished is kept, repeat the same command to go on\n",
    )


def test_a_signal_to_a_forked_process_ends_that_alone():
    process = started("forked")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (7, "working\n"), errors
