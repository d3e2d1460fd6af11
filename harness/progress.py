"""Progress of a phase on the terminal: a bar with the time left on a screen, one line per phase in a log file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.security.console import SafeConsole, sanitize

Advance = Callable[[int], None]


class Reporter:
    """Prints to the terminal; `track` shows one phase."""

    def __init__(self, console: SafeConsole | None = None) -> None:
        self.console = console or SafeConsole(stderr=True)

    def show_line(self, line: str) -> None:
        self.console.print(line, soft_wrap=True)

    @property
    def draws_bars(self) -> bool:
        """Whether bars can be drawn."""
        return self.console.is_terminal

    @contextmanager
    def track(self, label: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Yields `advance(n)`: n more units done, of `total` where it is known."""
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(unit),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        began, completed = time.perf_counter(), 0
        progress = Progress(*columns, console=self.console, transient=True)
        with progress if self.draws_bars else nullcontext():
            task = progress.add_task(sanitize(label), total=total)

            def advance(n: int) -> None:
                nonlocal completed
                completed += n
                progress.update(task, completed=completed)

            yield advance
        self.show_line(f"  {label}: {completed} {unit} in {time.perf_counter() - began:.1f} s")
