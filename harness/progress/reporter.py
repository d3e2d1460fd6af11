"""What a run reports while it works: lines, and phases that begin, move and end. A reporter shows them, or passes them on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from harness.security.console import SafeConsole

Advance = Callable[[int], None]
Total = int | Callable[[], int | None] | None  # known, known once some work is done, or not known

SECONDS_BETWEEN_MOVES = 0.25  # a phase tells no more often how far it is


class Verbosity(IntEnum):
    """How much is shown: the answer and warnings; what one looks at; every phase and note."""

    QUIET, NORMAL, VERBOSE = range(3)


@dataclass(frozen=True)
class Line:
    """A line for the user. is_detail: shown with --verbose alone, and written to the log. trial: whose it is, if any."""

    text: str
    is_detail: bool = False
    trial: str = ""


@dataclass(frozen=True)
class PhaseBegan:
    """folder: the phase's, in the run folder. total: number of units, where it is known. unit: empty for a short one."""

    folder: str
    label: str
    total: int | None
    unit: str


@dataclass(frozen=True)
class PhaseMoved:
    """done: units so far, those of an attempt before included."""

    folder: str
    done: int
    total: int | None


@dataclass(frozen=True)
class PhaseEnded:
    """The phase is finished. seconds: that it took; None where it was finished before, or taken from another run."""

    folder: str
    seconds: float | None


@dataclass(frozen=True)
class TrialEnded:
    """A trial has no phase left to run. error: why it failed; None where it is complete."""

    trial: str
    error: str | None


Event = Line | PhaseBegan | PhaseMoved | PhaseEnded | TrialEnded


class Reporter:
    """Prints lines to the terminal and nothing else. A subclass overrides `send`."""

    def __init__(self, console: SafeConsole | None = None) -> None:
        self.console = console or SafeConsole(stderr=True)

    def send(self, event: Event) -> None:
        if isinstance(event, Line):
            self.console.print(event.text, soft_wrap=not self.console.is_terminal)

    def show_line(self, line: str) -> None:
        self.send(Line(line))

    def show_detail(self, line: str) -> None:
        """A line that most users need not see."""
        self.send(Line(line, is_detail=True))

    @property
    def draws_bars(self) -> bool:
        """Whether bars can be drawn."""
        return self.console.is_terminal

    @contextmanager
    def phase(self, folder: str, progress: tuple[str, Total, str]) -> Iterator[Advance]:
        """Reports one phase; yields `advance(n)`: n more units done. progress: label, total and unit.

        Called for every unit, `advance` reads a clock and adds; what it reports is bounded by SECONDS_BETWEEN_MOVES.
        """
        label, total, unit = progress
        began = last_move = time.perf_counter()
        done = 0

        def known_total() -> int | None:
            return total() if callable(total) else total

        def advance(n: int) -> None:
            nonlocal done, last_move
            done += n
            if (now := time.perf_counter()) - last_move >= SECONDS_BETWEEN_MOVES:
                last_move = now
                self.send(PhaseMoved(folder, done, known_total()))

        self.send(PhaseBegan(folder, label, known_total(), unit))
        yield advance
        if unit:
            self.send(PhaseMoved(folder, done, done))
        self.send(PhaseEnded(folder, time.perf_counter() - began))
