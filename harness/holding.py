"""One process at a time works in a folder: the operating system's lock, and a note of who holds it for whoever finds it taken.

The lock is released by the system when its process ends, however that ends, so a note alone holds nothing. Where a file system
has no such locks (some network ones) filelock marks the folder with a file instead, and takes over a mark whose process is gone
from the same host; a mark of another host's can only be removed by a person who knows.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UserError

LOCK, NOTE = ".lock", ".holder.json"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder` for writing. Raises UserError when another process holds it, or nothing can be written there."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # filelock says that it marks the folder instead; the note says who holds it
            lock.acquire()
    except Timeout:
        raise UserError(f"{folder}: {holder(folder)} is working on this run; wait for it, or use --name OTHER") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot write here ({error.strerror}); use --results DIR") from error
    try:
        note = {"host": platform.node(), "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S%z")}
        with contextlib.suppress(OSError):
            (folder / NOTE).write_text(json.dumps(note), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / NOTE).unlink()
        lock.release()


def holder(folder: Path) -> str:
    """Who holds the folder, as far as the note says; another host's lock comes with what to do when its process is gone."""
    try:
        note = json.loads((folder / NOTE).read_text(encoding="utf-8"))
        host, said = note["host"], f"process {int(note['pid'])} on {note['host']} (since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
    if host != platform.node():
        return f"{said}, if it is gone delete {folder / LOCK}; else it"
    return said
