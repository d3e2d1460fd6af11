"""How far a run is and how long the rest takes, from what it has reported: numbers alone, no terminal.

The time of a phase is estimated from finished ones of its kind: seconds per unit of work, where the work of a phase is what the
cost estimate says of it (`planning/planned_work.py`). A kind of which none is finished is estimated from the one at work, and is
unknown before that. Clocks come in as arguments, in seconds.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

RATE_SECONDS = 30.0  # the rate shown is over so much of the last time
MIN_MEASURED_SECONDS = 2.0  # a phase at work says nothing of its duration before
MIN_MEASURED_SHARE = 0.02


@dataclass(frozen=True)
class PlannedPhase:
    """A phase that is still to run. trial, variant: empty where all trials share it. work: relative to others of its kind; 0
    where next to nothing is left to compute (the first scores are known from elsewhere), which says nothing of the others."""

    folder: str
    kind: str
    trial: str
    variant: str
    work: float = 1.0


@dataclass
class ActivePhase:
    """A phase at work. done: units; history: (time, units) of the last RATE_SECONDS."""

    folder: str
    label: str
    unit: str
    total: int | None
    began: float
    done: int = 0
    history: deque[tuple[float, int]] = field(default_factory=deque)

    def move(self, done: int, total: int | None, now: float) -> None:
        self.done, self.total = done, total if total is not None else self.total
        self.history.append((now, done))
        while len(self.history) > 2 and now - self.history[0][0] > RATE_SECONDS:
            self.history.popleft()

    @property
    def share(self) -> float | None:
        """Of its units that are done; None where their number is not known."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def rate(self) -> float | None:
        """Units per second, lately; None before anything was measured."""
        if not self.history:
            return None
        (first, done_first), (last, done_last) = self.history[0], self.history[-1]
        if len(self.history) == 1 or last - first < MIN_MEASURED_SECONDS:
            first, done_first = self.began, 0
        return (done_last - done_first) / (last - first) if last > first else None

    def seconds_left(self, now: float) -> float | None:
        """By its own rate; None where that says nothing yet."""
        if self.share is None or self.share < MIN_MEASURED_SHARE or now - self.began < MIN_MEASURED_SECONDS or not self.rate:
            return None
        assert self.total is not None
        return max(0.0, (self.total - self.done) / self.rate - (now - self.history[-1][0]))


@dataclass(frozen=True)
class TimeLeft:
    """seconds: of what can be estimated; is_complete: whether that is all there is."""

    seconds: float
    is_complete: bool


class Durations:
    """Seconds per unit of work of every kind of phase. Those of this command's trials count before those of what they share,
    which has the machine for itself, and these before an earlier command's."""

    def __init__(self, earlier: Iterable[tuple[PlannedPhase, float]] = ()) -> None:
        self._totals: dict[tuple[str, str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))  # seconds, work
        for phase, seconds in earlier:
            self._add(phase, seconds, "earlier")

    def add(self, phase: PlannedPhase, seconds: float) -> None:
        self._add(phase, seconds, "trial" if phase.trial else "shared")

    def _add(self, phase: PlannedPhase, seconds: float, source: str) -> None:
        if not phase.work:
            return
        for variant in {phase.variant, ""}:
            old_seconds, old_work = self._totals[phase.kind, variant, source]
            self._totals[phase.kind, variant, source] = old_seconds + seconds, old_work + phase.work

    def seconds(self, phase: PlannedPhase) -> float | None:
        """What the phase will take; None where nothing of its kind was measured."""
        if not phase.work:
            return 0.0
        sources = ("trial", "shared", "earlier") if phase.trial else ("shared", "trial", "earlier")
        for source in sources:
            for variant in dict.fromkeys((phase.variant, "")):
                if (key := (phase.kind, variant, source)) in self._totals:
                    seconds, work = self._totals[key]
                    return seconds / work * phase.work
        return None


class RunProgress:
    """The phases of a command that are to run, and those at work. num_slots: trials at once."""

    def __init__(
        self, planned: Iterable[PlannedPhase] = (), earlier: Iterable[tuple[PlannedPhase, float]] = (), num_slots: int = 1
    ) -> None:
        self.planned = {phase.folder: phase for phase in planned}
        self.left = dict(self.planned)
        self.active: dict[str, ActivePhase] = {}
        self.durations = Durations(earlier)
        self.num_slots = num_slots
        self._waiting: dict[str, TimeLeft] | None = None  # by trial, of phases not at work; None: to be summed up anew

    @property
    def num_done(self) -> int:
        return len(self.planned) - len(self.left)

    def begin(self, folder: str, label: str, total: int | None, unit: str, now: float) -> None:
        self.active[folder] = ActivePhase(folder, label, unit, total, now)
        self._waiting = None

    def move(self, folder: str, done: int, total: int | None, now: float) -> None:
        if (phase := self.active.get(folder)) is not None:
            phase.move(done, total, now)

    def end(self, folder: str, seconds: float | None) -> None:
        self.active.pop(folder, None)
        self._waiting = None
        if (phase := self.left.pop(folder, None)) is not None and seconds is not None:
            self.durations.add(phase, seconds)

    def drop_trial(self, trial: str) -> None:
        """The trial ended: what is left of it will not run."""
        self._waiting = None
        for phase in [phase for phase in self.left.values() if phase.trial == trial]:
            del self.left[phase.folder], self.planned[phase.folder]
        for folder in [folder for folder in self.active if folder.startswith(f"{trial}/")]:
            del self.active[folder]

    def share(self) -> float:
        """Of the phases that are done, those at work in part."""
        if not self.planned:
            return 1.0
        at_work = sum(phase.share or 0.0 for folder, phase in self.active.items() if folder in self.left)
        return min(1.0, (self.num_done + at_work) / len(self.planned))

    def time_left(self, now: float) -> TimeLeft | None:
        """Of all that is left, trials shared out among the slots; None where nothing is known."""
        by_trial = dict(self._waiting_by_trial(now))
        for folder, active in self.active.items():
            if (phase := self.left.get(folder)) is None:
                continue
            seconds = self._active_seconds_left(active, phase, now)
            before = by_trial.get(phase.trial, TimeLeft(0.0, True))
            by_trial[phase.trial] = TimeLeft(before.seconds + (seconds or 0.0), before.is_complete and seconds is not None)
        if not by_trial:
            return TimeLeft(0.0, True)
        is_complete = all(left.is_complete for left in by_trial.values())
        shared = by_trial.pop("", TimeLeft(0.0, True)).seconds
        seconds = shared + _longest_slot(by_trial, {phase.trial for phase in self._at_work()}, self.num_slots)
        return TimeLeft(seconds, is_complete) if seconds or is_complete else None

    def _at_work(self) -> Iterator[PlannedPhase]:
        return (self.left[folder] for folder in self.active if folder in self.left)

    def _active_seconds_left(self, active: ActivePhase, phase: PlannedPhase, now: float) -> float | None:
        if (seconds := active.seconds_left(now)) is not None:
            return seconds
        expected = self.durations.seconds(phase)
        return None if expected is None else max(0.0, expected - (now - active.began))

    def _waiting_by_trial(self, now: float) -> dict[str, TimeLeft]:
        """Summed up when a phase begins or ends, not whenever the screen is drawn; while a kind is unknown, each time."""
        if self._waiting is not None and all(left.is_complete for left in self._waiting.values()):
            return self._waiting
        projected = Durations()  # of phases at work whose kind was never measured
        for phase in self._at_work():
            active = self.active[phase.folder]
            if self.durations.seconds(phase) is None and (seconds := active.seconds_left(now)) is not None:
                projected.add(phase, now - active.began + seconds)
        sums: dict[str, TimeLeft] = {}
        for phase in (phase for folder, phase in self.left.items() if folder not in self.active):
            seconds = self.durations.seconds(phase)
            seconds = projected.seconds(phase) if seconds is None else seconds
            before = sums.get(phase.trial, TimeLeft(0.0, True))
            sums[phase.trial] = TimeLeft(before.seconds + (seconds or 0.0), before.is_complete and seconds is not None)
        self._waiting = sums
        return sums


def _longest_slot(by_trial: dict[str, TimeLeft], at_work: set[str], num_slots: int) -> float:
    """Seconds until the last of the slots is done, each taking the next trial when it is free."""
    slots = [by_trial[trial].seconds for trial in by_trial if trial in at_work]
    slots += [0.0] * (num_slots - len(slots))
    for trial, left in by_trial.items():
        if trial not in at_work:
            shortest = slots.index(min(slots))
            slots[shortest] += left.seconds
    return max(slots, default=0.0)
