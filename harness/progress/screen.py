"""What a user sees of a run while it works: a live display on a terminal, lines with their time elsewhere, and the log.

On a terminal the scores stay as lines, and below them the display says how far the run is. It is drawn by a thread of its own
twice a second, so that work waits for no terminal; events alone change what it shows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.live import Live
from rich.text import Text

from harness.progress import drawing, wording
from harness.progress.log_file import LogFile, timestamp
from harness.progress.planned import RunProgress
from harness.progress.reporter import Event, Line, PhaseBegan, PhaseEnded, PhaseMoved, Reporter, TrialEnded, Verbosity
from harness.progress.wording import CheckpointScore
from harness.security.console import SafeConsole, sanitize

DRAWINGS_PER_SECOND = 2
SECONDS_BETWEEN_LINES = 60.0  # without a terminal, a line at least so often while phases move
WARNING = "WARNING"  # the beginning of lines that --quiet shows too
ScoreOf = Callable[[str], CheckpointScore | None]


class Screen(Reporter):
    """Shows the events of a run and logs them. score_of: the score of a finished phase's checkpoint, by the phase's folder; None
    for a phase that is no evaluation.

    Events may come from several threads.
    """

    def __init__(self, verbosity: Verbosity = Verbosity.NORMAL, console: SafeConsole | None = None) -> None:
        super().__init__(console)
        self.verbosity = verbosity
        self.progress = RunProgress()
        self.score_of: ScoreOf = lambda folder: None
        self.log: LogFile | None = None
        self._lock = threading.RLock()
        self._live: Live | None = None
        self._to_print: list[str] = []
        self._found: set[str] = set()  # phases that were finished before
        self._last_scored: dict[str, str] = {}  # trial -> the folder of its last evaluation
        self._scores: dict[str, str] = {}  # trial -> that score in print
        self._last_line = time.monotonic()

    @property
    def is_live(self) -> bool:
        """Whether there is a terminal that a display can be drawn on. FORCE_COLOR makes none of a file."""
        file, console = self.console.file, self.console
        return console.is_terminal and not console.is_dumb_terminal and file.isatty() and self.verbosity > Verbosity.QUIET

    @contextmanager
    def show(self, progress: RunProgress) -> Iterator[None]:
        """Within, the run plays `progress`: the display is drawn, or lines come with their time."""
        with self._lock:
            self.progress = progress
        if self.is_live and progress.planned:
            self._live = Live(
                get_renderable=self._draw, console=self.console, refresh_per_second=DRAWINGS_PER_SECOND, transient=True,
                vertical_overflow="crop",
            )  # fmt: skip
        try:
            if self._live is not None:
                self._live.start()
            yield
        finally:
            live, self._live = self._live, None
            if live is not None:
                live.stop()

    def close(self) -> None:
        if self.log is not None:
            self.log.close()
            self.log = None

    # ------------------------------------------------------------ events

    def send(self, event: Event) -> None:
        now = time.monotonic()
        with self._lock:
            self._handle(event, now)
            lines, self._to_print = self._to_print, []
        for line in lines:  # not within the lock, which the display's thread takes while it holds the terminal's
            self.console.print(line, soft_wrap=not self.console.is_terminal)

    def _handle(self, event: Event, now: float) -> None:
        if isinstance(event, Line):
            text = f"{wording.trial_name(event.trial)}: {event.text.strip()}" if event.trial else event.text
            self._say(text, event.is_detail)
        elif isinstance(event, PhaseBegan):
            self.progress.begin(event.folder, event.label, event.total, event.unit, now)
            self._say(f"{wording.checkpoint_name(event.folder)}: {event.label} began", True)
        elif isinstance(event, PhaseMoved):
            self.progress.move(event.folder, event.done, event.total, now)
            self._say_that_it_moves(event.folder, now)
        elif isinstance(event, PhaseEnded):
            self._end_phase(event)
        else:
            self._end_trial(event)

    def _end_phase(self, event: PhaseEnded) -> None:
        active = self.progress.active.get(event.folder)
        self.progress.end(event.folder, event.seconds)
        if event.seconds is None and event.folder not in self._found:  # every worker finds what they share
            self._found.add(event.folder)
            self._say(f"{event.folder}: finished before", True)
        if event.seconds is not None and active is not None:
            # a display shows as much, and a phase without units is over at once
            self._say(wording.phase_line(active, event.seconds), self.is_live or not active.unit)
        if "/evaluate/" not in f"/{event.folder}/":
            return
        self._last_scored[_trial_of(event.folder)] = event.folder
        self._scores.pop(_trial_of(event.folder), None)
        if event.seconds is not None and (score := self.score_of(event.folder)) is not None:
            self._say(wording.score_line(event.folder, score))
            self._scores[_trial_of(event.folder)] = "" if score.mean is None else wording.percent(score.mean)

    def _end_trial(self, event: TrialEnded) -> None:
        self.progress.drop_trial(event.trial)
        if event.error is not None:
            self._say(f"{event.trial} failed: {event.error}", is_important=True)

    def _say_that_it_moves(self, folder: str, now: float) -> None:
        if not self.is_live and now - self._last_line >= SECONDS_BETWEEN_LINES and (active := self.progress.active.get(folder)):
            self._say(wording.moving_line(active, now))

    # ------------------------------------------------------------ lines

    def _say(self, text: str, is_detail: bool = False, is_important: bool = False) -> None:
        """Log a line, and have it printed where it is asked for; an important one, as a warning, always."""
        if self.log is not None:
            self.log.write(text)
        if is_detail and self.verbosity < Verbosity.VERBOSE:
            return
        if self.verbosity == Verbosity.QUIET and not is_important and not text.lstrip().startswith(WARNING):
            return
        self._last_line = time.monotonic()
        if self.is_live:
            self._to_print.append(text.strip())
            return
        overall = ""
        if self.progress.planned:
            left = wording.time_left(self.progress.time_left(self._last_line))
            overall = f"{self.progress.num_done}/{len(self.progress.planned)}, {left}  "
        self._to_print.append(f"{timestamp()}  {overall}{text.strip()}")

    # ------------------------------------------------------------ the display

    def _draw(self) -> RenderableType:
        with self._lock:
            now, width, height = time.monotonic(), self.console.width, self.console.height
            phases = list(self.progress.active.values())
            for phase in phases:
                self._look_up_score(_trial_of(phase.folder))
            lines = drawing.trial_lines(phases, self._scores, now, width, height - 3)
            if not phases and self.progress.left:
                lines.append("loading model, tasks and data, once per process")
            lines.append(drawing.overall_line(self.progress, now, width, self.console.options.ascii_only))
        return Text(sanitize("\n".join(lines)), no_wrap=True, overflow="crop")

    def _look_up_score(self, trial: str) -> None:
        """The last score of a trial that goes on with finished iterations, once."""
        if trial in self._scores or trial not in self._last_scored:
            return
        score = self.score_of(self._last_scored[trial])
        self._scores[trial] = "" if score is None or score.mean is None else wording.percent(score.mean)


def _trial_of(folder: str) -> str:
    return "/".join(folder.split("/")[:2])
