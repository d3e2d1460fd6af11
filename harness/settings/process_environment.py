"""The environment a process needs: a cache folder, a short folder for sockets, an output encoding.

What is missing is replaced for this process and those that it starts; nothing here changes a number.
"""

from __future__ import annotations

import atexit
import codecs
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import UserError
from harness.security.escaping import to_ascii
from harness.settings.freed_memory import keep_freed_memory
from harness.settings.paths import STAND_IN_HOME_ENV, expand_user

MAX_SOCKET_PATH_BYTES = 103  # length of a socket's path that every system accepts
LISTENER_NAME_BYTES = len("/pymp-xxxxxxxx/listener-xxxxxxxx")  # what multiprocessing adds to the temporary folder
SHORT_TEMP_DIRS = ("/tmp", "/var/tmp", "/dev/shm")
ASCII_ERROR_HANDLER = "harness.ascii"
MAX_EXIT_WAIT_SECONDS = 5.0  # for threads of libraries to end by themselves

notes: list[str] = []  # what was replaced, a line each, to be printed to the user


def set_up_process() -> None:
    """Everything below, at the start of a command, and freed memory kept."""
    keep_freed_memory()
    set_up_streams()
    set_up_caches()
    set_up_sockets()


def set_up_streams() -> None:
    """Characters outside the encoding of a terminal or pipe are written in ASCII, where Python would raise."""
    codecs.register_error(ASCII_ERROR_HANDLER, _replace_with_ascii)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):  # none, closed, or a replacement that accepts everything
            stream.reconfigure(errors=ASCII_ERROR_HANDLER)  # type: ignore[union-attr]


def _replace_with_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(to_ascii, error.object[error.start : error.end])), error.end


def set_up_caches() -> None:
    """A cache folder for the libraries where there is no home: they would make a folder called `~`, or raise.

    An existing one is kept, writable or not: it may hold models.
    """
    home = _home()
    if home is not None and not os.environ.get("HOME"):
        os.environ["HOME"] = str(home)  # an empty one would mean the root folder
    xdg_cache = os.environ.get("XDG_CACHE_HOME")
    cache = Path(xdg_cache) if xdg_cache else home / ".cache" if home else None
    if cache is not None and (cache.is_dir() or _can_create(cache)):
        return
    folder = tempfile.mkdtemp(prefix="harness-caches-")
    _remove_at_exit(folder)
    os.environ["XDG_CACHE_HOME"] = folder
    if home is None:
        os.environ["HOME"] = os.environ[STAND_IN_HOME_ENV] = folder
    reason = f"{cache} cannot be created" if cache else "this user has no home folder"
    notes.append(f"{reason}: caches of libraries last for this command only; HOME=FOLDER sets another home")


def _home() -> Path | None:
    try:
        return expand_user("~")
    except UserError:
        return None


def _can_create(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        existing = next(parent for parent in folder.absolute().parents if parent.exists())
        return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    return False


def set_up_sockets() -> None:
    """A short folder for multiprocessing's sockets where the path of the temporary folder is too long for them."""
    if _sockets_fit():
        return
    from multiprocessing import process

    for base in SHORT_TEMP_DIRS:
        if os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK):
            folder = tempfile.mkdtemp(prefix="pymp-", dir=base)
            _remove_at_exit(folder)
            process.current_process()._config["tempdir"] = folder  # type: ignore[attr-defined]  # workers inherit it
            return


def _sockets_fit() -> bool:
    with contextlib.suppress(OSError):  # no temporary folder at all: reported by the code that needs one
        if len(os.fsencode(tempfile.gettempdir())) + LISTENER_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
            from multiprocessing import process  # milliseconds, which the help of a command need not wait for

            return process.current_process()._config.get("tempdir") is not None  # type: ignore[attr-defined]
    return True


def check_hub() -> None:
    """Raises UserError where the hub's address cannot be parsed: importing its library would raise, with a part of it shown."""
    endpoint = os.environ.get("HF_ENDPOINT", "")
    try:
        urlsplit(endpoint).port  # noqa: B018 (the property raises)
    except ValueError:
        raise UserError(
            f"HF_ENDPOINT={endpoint}: cannot be read as an address; "
            "write / ? # @ : in a name or a password as %2F %3F %23 %40 %3A"
        ) from None


def check_sockets() -> None:
    """Raises UserError where worker processes could not communicate."""
    set_up_sockets()
    if not _sockets_fit():
        raise UserError(
            f"TMPDIR={tempfile.gettempdir()}: its path is too long for the sockets of several processes, and "
            f"{', '.join(SHORT_TEMP_DIRS)} cannot be written to; set TMPDIR to a shorter folder, or use --jobs 1"
        )


def nondaemon_threads() -> set[threading.Thread]:
    """The threads that Python would wait for at exit."""
    return {thread for thread in threading.enumerate() if not thread.daemon}


def exit_despite_threads(before: set[threading.Thread], code: int, seconds: float = MAX_EXIT_WAIT_SECONDS) -> None:
    """End the process with `code` even if third-party code has left a thread that does not end; it has `seconds` to."""
    left = nondaemon_threads() - before

    def leave() -> None:
        time.sleep(seconds)
        if threading.main_thread().is_alive() or not any(thread.is_alive() for thread in left):
            return  # called as a function, by a program that goes on
        print("harness: all is done; ending a thread that an objective's or a task's code left running", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                stream.flush()
        os._exit(code)

    if left:
        threading.Thread(target=leave, daemon=True).start()


def _remove_at_exit(folder: str) -> None:
    creator_pid = os.getpid()

    def remove() -> None:
        if os.getpid() == creator_pid:  # not in a forked process
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
