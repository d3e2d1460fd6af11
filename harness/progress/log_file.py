"""The log of a run folder: what its commands showed and what --verbose would have, each line with its time.

For people to read: nothing reads it back, no manifest has its digest, and `harness merge` leaves every run its own.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from harness.errors import UserError
from harness.security.console import sanitize
from harness.security.escaping import one_line

LOG_NAME = "run.log"


def timestamp(seconds: float | None = None) -> str:
    """Local time to the second, of now or of `seconds` since 1970."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


class LogFile:
    """Appends lines; every line is written at once, so that a killed process has lost none."""

    def __init__(self, folder: Path) -> None:
        """Raises UserError where the file cannot be opened."""
        path = folder / LOG_NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._handle = os.open(path, flags, 0o666)  # the umask says who reads it
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); remove it, then repeat the same command") from error

    def write(self, line: str) -> None:
        os.write(self._handle, f"{timestamp()}  {one_line(sanitize(line))}\n".encode("utf-8", errors="backslashreplace"))

    def close(self) -> None:
        os.close(self._handle)
