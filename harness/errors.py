"""The error for mistakes in a request, one line that names thing, value and what to type next; errors of the system."""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import signal
from collections.abc import Iterable, Iterator

from harness.security.escaping import one_line
from harness.security.redact import MASK, redact

MAX_MESSAGE_CHARS = 500  # a value in a message may be megabytes


class UserError(Exception):
    """A request that cannot be carried out. The command line prints its one line and exits with 1, no traceback.

    The line is cut in the middle where it is too long, and control characters in it are escaped.
    """

    def __init__(self, message: str) -> None:
        message = redact(message)  # before it is cut, which could leave half a URL
        line = one_line(message if len(message) < 8 * MAX_MESSAGE_CHARS else _shorten_middle(message, 4 * MAX_MESSAGE_CHARS))
        super().__init__(line if len(line) <= MAX_MESSAGE_CHARS else _shorten_middle(line, MAX_MESSAGE_CHARS))


def _shorten_middle(text: str, max_chars: int) -> str:
    """Beginning and end: the first names the thing, the last what to do."""
    return f"{text[: max_chars // 2]} … {text[-max_chars // 2 :]}"


def error_line(error: BaseException, max_chars: int = 200) -> str:
    """A library's error in one line for a message; its type's name where it says nothing.

    Of an address neither name and password nor the query, which may hold a signature, are repeated.
    """
    line = re.sub(r"(://\S*?)\?\S*", r"\1", redact(str(error)).replace(f"{MASK}@", ""))
    return (" ".join(line.split()) or type(error).__name__)[:max_chars]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' (did you mean "x"?)' when one of `known` is close to `word`, else the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f' (did you mean "{close[0]}"?)'
    return f" (known: {', '.join(names)})" if names else ""


class EvaluationError(Exception):
    """An evaluation that cannot be finished now, without a mistake in the request or a bug. Its partial results are kept."""


class DamagedError(UserError):
    """A file of a run is not what was committed."""


class OtherFormatError(UserError):
    """A phase, or a run's record, is of a format version that this program does not read."""


class TerminatedBySignal(BaseException):
    """The program received SIGINT (Ctrl-C) or SIGTERM (a scheduler, say). `exit_code` is what it exits with."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"signal {signal_number}")
        self.exit_code = 128 + signal_number


def is_termination(error: BaseException) -> bool:
    """Whether the user or a scheduler ends the program, rather than third-party code that raises KeyboardInterrupt itself."""
    if isinstance(error, KeyboardInterrupt):  # used as a library; the command line raises TerminatedBySignal
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, TerminatedBySignal)


DISK_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
# In the text of libraries that wrap the system's error.
DISK_MESSAGES = ("No space left on device", "Disk quota exceeded", "Read-only file system")
TOO_MANY_FILES_ERRNOS = {errno.EMFILE, errno.ENFILE}
# Temporary or name-related errors of the system; they damage no file.
REFUSED_ERRNOS = TOO_MANY_FILES_ERRNOS | {
    errno.EACCES, errno.EPERM, errno.ESTALE, errno.ETIMEDOUT, errno.ENOMEM, errno.EBUSY, errno.ETXTBSY, errno.ENAMETOOLONG,
    errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP,
}  # fmt: skip
RUST_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # at the end of messages from libraries written in Rust
OBJECTIVE_MODULE_PREFIX = "_objective_"  # of the module names of objective files


def disk_error(error: BaseException | None) -> str | None:
    """The system's message where an error was caused by the disk; else None."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRNOS:
            return os.strerror(error.errno)
        if message := next((words for words in DISK_MESSAGES if words in str(error)), None):
            return message
        error = error.__cause__ or error.__context__
    return None


def system_errno(error: BaseException) -> int | None:
    """The errno of an error where it is one of DISK_ERRNOS or REFUSED_ERRNOS; else None."""
    if isinstance(error, OSError):
        number = error.errno
    else:
        match = RUST_OS_ERROR.search(str(error))
        number = int(match[1]) if match else None
    return number if number in DISK_ERRNOS | REFUSED_ERRNOS else None


def system_error_line(error: BaseException, default_location: object = None) -> str | None:
    """The line for an error of the system: the file, or `default_location`, its message and what to do. Else None.

    None too for an error that an objective's own file raised.
    """
    number = system_errno(error)
    reason = os.strerror(number) if number is not None else disk_error(error)
    if objective_location(error) is not None or reason is None:
        return None
    file = getattr(error, "filename", None)
    location = os.fsdecode(file) if file and isinstance(file, (str, bytes, os.PathLike)) else default_location
    failure = f"{_shorten_path(str(location))}: {reason}" if location is not None else reason
    if number is None or number in DISK_ERRNOS:
        remedy = "make room, then"
    elif number in TOO_MANY_FILES_ERRNOS:
        remedy = "allow more (ulimit -n) or end other programs, then"
    elif number == errno.ENOMEM:
        remedy = "free memory, then"
    elif number in (errno.ENAMETOOLONG, errno.ELOOP):
        return f"{failure}; name another path"
    else:
        remedy = "make this file accessible, then"
    return f"{failure}; what is finished is kept: {remedy} repeat the same command to go on"


@contextlib.contextmanager
def explain_system_errors(default_location: object) -> Iterator[None]:
    """Raises a UserError with `system_error_line` where the block ends with an error of the system."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (line := system_error_line(error, default_location)) is None:
            raise
        raise UserError(line) from error


def unexpected_error_line(error: BaseException) -> str | None:
    """The line for an error not handled elsewhere (files, memory); None for a bug, whose traceback is needed."""
    if isinstance(error, MemoryError):
        return "out of memory; what is finished is kept: free memory or lower --jobs, then repeat the same command to go on"
    if isinstance(error, OSError) and (location := objective_location(error)) is not None:
        return f"{location}: {type(error).__name__}: {error}; an objective must not use files, see: harness objectives check"
    if (line := system_error_line(error)) is not None:
        return line
    if isinstance(error, OSError) and error.errno is not None and isinstance(error.filename, (str, bytes, os.PathLike)):
        file = _shorten_path(os.fsdecode(error.filename))
        question = f"{file}: {os.strerror(error.errno)}; was it moved, removed or created meanwhile?"
        return f"{question} what is finished is kept: repeat the same command to go on"
    return None


def _shorten_path(path: str) -> str:
    return path if len(path) <= MAX_MESSAGE_CHARS // 2 else _shorten_middle(path, MAX_MESSAGE_CHARS // 2)


def objective_location(error: BaseException) -> str | None:
    """`FILE, line N` in an objective's own file that raised an error, or called the code that did; else None."""
    tb, location = error.__traceback__, None
    while tb is not None:
        frame = tb.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(OBJECTIVE_MODULE_PREFIX):
            location = f"{frame.f_code.co_filename}, line {tb.tb_lineno}"
        tb = tb.tb_next
    return location
