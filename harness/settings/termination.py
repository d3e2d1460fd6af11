"""The end by Ctrl-C or by a scheduler: one line that says how to go on, exit code 130 or 143, within two seconds.

A signal raises TerminatedBySignal in the main thread, so that what is open is closed. Where that does not end the program in time
(a library's C code does not return, or its Python code swallows the exception) a thread ends it: everything in a run folder bears
that. While libraries are imported nothing is open, and the program ends at once: an exception within an import may be lost.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from harness.errors import TerminatedBySignal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MAX_CLOSING_SECONDS = 1.5
SHOW_CURSOR = "\x1b[?25h"  # a live display hides it
EXIT = os._exit  # the original: while an objective's code runs, os._exit is replaced (see discovery/process_state.py)


class Termination:
    """What this process does at a signal. There is one, TERMINATION."""

    def __init__(self) -> None:
        self.received: int | None = None  # the first signal; later ones change nothing
        self._nothing_open = 0
        self._line_shown = False
        self._previous: dict[int, Any] = {}
        self._wakeup: tuple[int, int, int] | None = None  # read end, write end, the descriptor that was set before

    def install(self) -> None:
        """From now on signals end the program as said above. Called by the main thread."""
        self.received, self._line_shown = None, False
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        self._watch()

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """`install` for a while, where it was not done. Handlers stay once a signal was received."""
        if self._wakeup is not None:
            yield
            return
        self.install()
        try:
            yield
        finally:
            if self.received is None:
                self._stop_watching()
                for number, handler in self._previous.items():
                    signal.signal(number, handler)

    @contextlib.contextmanager
    def nothing_open(self) -> Iterator[None]:
        """Within, nothing has to be closed: a signal ends the program at once."""
        self._nothing_open += 1
        try:
            yield
        finally:
            self._nothing_open -= 1

    def all_closed(self) -> None:
        """Nothing is open until the process ends. After a signal that is now: to take down libraries takes seconds."""
        self._nothing_open += 1
        if self.received is not None:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(AttributeError, ValueError, OSError):
                    stream.flush()
            atexit._run_exitfuncs()  # temporary folders; where one of them does not end, the thread ends the process
            self._leave()

    def show_line(self) -> None:
        """The line for the user, once."""
        if self._line_shown or self.received is None:
            return
        self._line_shown = True
        reason = "interrupted" if self.received == signal.SIGINT else "terminated"
        start = "\r" if sys.stderr is not None and os.isatty(2) else ""  # over the ^C that a terminal shows
        line = f"{start}harness: {reason}; what is finished is kept, repeat the same command to go on\n"
        with contextlib.suppress(OSError):
            os.write(2, line.encode("ascii"))

    def _handle(self, number: int, _: object) -> None:
        if self._nothing_open:
            self.received = self.received or number
            self._leave()
        if self.received is None:
            self.received = number
            raise TerminatedBySignal(number)

    def _leave(self) -> None:
        with contextlib.suppress(OSError):
            if os.isatty(2):
                os.write(2, SHOW_CURSOR.encode("ascii"))
        self.show_line()
        assert self.received is not None
        EXIT(128 + self.received)

    def _watch(self) -> None:
        """Start the thread that learns of a signal even while the main thread is in C code, by the pipe that Python writes to."""
        read_end, write_end = os.pipe()
        for end in (read_end, write_end):
            os.set_inheritable(end, False)
        os.set_blocking(write_end, False)
        previous = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        self._wakeup = read_end, write_end, previous
        threading.Thread(target=self._end_in_time, args=(read_end,), name="termination", daemon=True).start()

    def _end_in_time(self, read_end: int) -> None:
        while numbers := os.read(read_end, 1):
            if numbers[0] in SIGNALS:
                break
        else:
            os.close(read_end)
            return
        time.sleep(MAX_CLOSING_SECONDS)
        self.received = self.received or numbers[0]
        self._leave()

    def _stop_watching(self) -> None:
        if self._wakeup is not None:
            _, write_end, previous = self._wakeup
            self._wakeup = None
            signal.set_wakeup_fd(previous)
            os.close(write_end)  # the thread ends at that

    def forget_in_child(self) -> None:
        """In a forked process, which shares the pipe: its signals are not this process's."""
        if self._wakeup is not None:
            self._wakeup = None
            with contextlib.suppress(ValueError):
                signal.set_wakeup_fd(-1)


TERMINATION = Termination()
os.register_at_fork(after_in_child=TERMINATION.forget_in_child)
