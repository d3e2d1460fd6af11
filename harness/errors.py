"""The one error that is the user's to mend, a line that names thing, value and what to type next; and evaluations cut short."""

from __future__ import annotations

import difflib
import errno
import os
import re
import signal
from collections.abc import Iterable

from harness.security.escaping import one_line
from harness.security.redact import redact

MAX_MESSAGE_CHARS = 500  # characters of a message: a value in it may be megabytes


class UserError(Exception):
    """A request that cannot be carried out. The command line prints its one line and exits with 1, no traceback.

    The line is cut in the middle where it is too long, and a control character in it is shown, never sent to the terminal.
    """

    def __init__(self, message: str) -> None:
        message = redact(message)  # before it is cut, which could leave half an address
        line = one_line(message if len(message) < 8 * MAX_MESSAGE_CHARS else _shorten_middle(message, 4 * MAX_MESSAGE_CHARS))
        super().__init__(line if len(line) <= MAX_MESSAGE_CHARS else _shorten_middle(line, MAX_MESSAGE_CHARS))


def _shorten_middle(text: str, max_chars: int) -> str:
    """Beginning and end: the one names the thing, the other says what to do."""
    return f"{text[: max_chars // 2]} … {text[-max_chars // 2 :]}"


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


class OtherFormatError(UserError):
    """A phase, or a run's record, is of a format version that this program does not read."""


class TerminatedBySignal(BaseException):
    """The program was told to end: by Ctrl-C, or by a scheduler that takes the machine away (SIGTERM). code: its exit code."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.exit_code = 128 + signal_number


def is_termination(error: BaseException) -> bool:
    """Whether it is the user or a scheduler who ends the program, not code that raises what only they should."""
    if isinstance(error, KeyboardInterrupt):  # as a library; the command line turns signals into `Ended`
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, TerminatedBySignal)


DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
DISK_MESSAGES = (
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
)  # libraries that wrap the system's error
TOO_MANY_FILES_ERRNOS = {errno.EMFILE, errno.ENFILE}
# What the system refuses for a time or for a name; no file is damaged by it.
REFUSED_ERRNOS = TOO_MANY_FILES_ERRNOS | {
    errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM, errno.EBUSY, errno.ETXTBSY, errno.ENAMETOOLONG,
    errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP,
}  # fmt: skip
RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as libraries written in Rust end their messages
OBJECTIVE_MODULE_PREFIX = "_objective_"  # what the modules of objectives' files are called


def disk_error(error: BaseException | None) -> str | None:
    """What the disk refused, in the system's words, where that is what is behind an error; else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
            return os.strerror(error.errno)
        if message := next((words for words in DISK_MESSAGES if words in str(error)), None):
            return message
        error = error.__cause__ or error.__context__
    return None


def system_errno(error: BaseException) -> int | None:
    """The number of what the system refused: no room, or anything of REFUSED; None where something else is behind an error."""
    if isinstance(error, OSError):
        number = error.errno
    else:
        match = RUST_OS_ERROR.search(str(error))
        number = int(match[1]) if match else None
    return number if number in DISK_ERRNOS | REFUSED_ERRNOS else None


def system_error_line(error: BaseException, default_location: object = None) -> str | None:
    """The line for what the system refused: the file, or `where`, then its words and what to do. None where that is not it.

    Of an error that an objective's own file raised nothing is made here: it is that file's.
    """
    number, reason = system_errno(error), disk_error(error)
    if objective_location(error) is not None or (number is None and reason is None):
        return None
    reason = os.strerror(number) if number is not None else reason
    file = getattr(error, "filename", None)
    if isinstance(file, bytes):
        file = os.fsdecode(file)
    location = file if isinstance(file, (str, os.PathLike)) and str(file) else default_location
    failure = f"{_shorten_path(str(location))}: {reason}" if location is not None else f"{reason}"
    if number is None or number in DISK_ERRNOS:
        remedy = "make room, then"
    elif number in TOO_MANY_FILES_ERRNOS:
        remedy = "allow more (ulimit -n) or end other programs, then"
    elif number == errno.ENOMEM:
        remedy = "free memory, then"
    elif number in (errno.ENAMETOOLONG, errno.ELOOP):
        return f"{failure}; name another path"
    else:
        remedy = "see that this file can be used here, then"
    return f"{failure}; what is finished is kept: {remedy} repeat the same command to go on"


def unexpected_error_line(error: BaseException) -> str | None:
    """The line for an error that nobody has named, a file in the way or memory; None for a bug, whose traceback is wanted."""
    if isinstance(error, MemoryError):
        return "out of memory; what is finished is kept: free memory or lower --jobs, then repeat the same command to go on"
    if isinstance(error, OSError) and (location := objective_location(error)) is not None:
        return f"{location}: {type(error).__name__}: {error}; an objective uses no files, see: harness objectives check"
    if (line := system_error_line(error)) is not None:
        return line
    if isinstance(error, OSError) and error.errno is not None and isinstance(error.filename, (str, bytes, os.PathLike)):
        file = _shorten_path(os.fsdecode(error.filename))
        question = f"{file}: {os.strerror(error.errno)}; was it moved, removed or made meanwhile?"
        return f"{question} what is finished is kept: repeat the same command to go on"
    return None


def _shorten_path(path: str) -> str:
    return path if len(path) <= MAX_MESSAGE_CHARS // 2 else _shorten_middle(path, MAX_MESSAGE_CHARS // 2)


def objective_location(error: BaseException) -> str | None:
    """`FILE, line N` where an objective's own file raised an error, or called what did; else None."""
    tb, location = error.__traceback__, None
    while tb is not None:
        frame = tb.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(OBJECTIVE_MODULE_PREFIX):
            location = f"{frame.f_code.co_filename}, line {tb.tb_lineno}"
        tb = tb.tb_next
    return location
