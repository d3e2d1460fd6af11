"""The one error that is the user's to mend, a line that names thing, value and what to type next; and evaluations cut short."""

from __future__ import annotations

import difflib
import errno
import os
import signal
from collections.abc import Iterable

from harness.masking import masked
from harness.shown import one_line

LONGEST = 500  # characters of a message: a value in it may be megabytes


class UserError(Exception):
    """A request that cannot be carried out. The command line prints its one line and exits with 1, no traceback.

    The line is cut in the middle where it is too long, and a control character in it is shown, never sent to the terminal.
    """

    def __init__(self, message: str) -> None:
        message = masked(message)  # before it is cut, which could leave half an address
        shown = one_line(message if len(message) < 8 * LONGEST else _cut(message, 4 * LONGEST))
        super().__init__(shown if len(shown) <= LONGEST else _cut(shown, LONGEST))


def _cut(text: str, longest: int) -> str:
    """Beginning and end: the one names the thing, the other says what to do."""
    return f"{text[: longest // 2]} … {text[-longest // 2 :]}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean "x"?)' when one of `known` is close to `word`, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f' (did you mean "{close[0]}"?)'
    return f" (known: {', '.join(names)})" if names else ""


class EvaluationError(Exception):
    """An evaluation that cannot be finished now: no mistake in the request and no bug. What was done for it is kept."""


class DamagedError(UserError):
    """A file of a run is not what was committed."""


class Ended(BaseException):
    """The program was told to end: by Ctrl-C, or by a scheduler that takes the machine away (SIGTERM). code: its exit code."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.code = 128 + number


def asks_to_end(error: BaseException) -> bool:
    """Whether it is the user or a scheduler who ends the program, not code that raises what only they should."""
    if isinstance(error, KeyboardInterrupt):  # as a library; the command line turns signals into `Ended`
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, Ended)


NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
ROOM_WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system")  # libraries that wrap the system's error


def disk_trouble(error: BaseException | None) -> str | None:
    """What the disk refused, in the system's words, where that is what is behind an error; else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return os.strerror(error.errno)
        if found := next((words for words in ROOM_WORDS if words in str(error)), None):
            return found
        error = error.__cause__ or error.__context__
    return None
