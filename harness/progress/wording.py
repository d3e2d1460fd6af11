"""Progress in words: durations, rates, scores with their errors, and the line of each kind of event."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.progress.planned import ActivePhase, TimeLeft
from harness.records import INITIAL

UNKNOWN = "?"


@dataclass(frozen=True)
class CheckpointScore:
    """A checkpoint's mean over tasks as a share of 1, and its difference from the initial policy's, with standard errors.

    The errors are of sampling items, the difference paired over them; NaN where there are too few items for one. mean is None
    for a suite without a mean, change for the initial policy and where items cannot be paired. clusters: of items that share
    something, as many as items where none do.
    """

    mean: float | None
    stderr: float
    change: float | None
    change_stderr: float
    items: int
    clusters: int
    tasks: int


def clock(seconds: float) -> str:
    """H:MM:SS."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def time_left(left: TimeLeft | None) -> str:
    """`0:00:12 left`; "?" while nothing is known, ">" while a kind of phase is not."""
    if left is None:
        return f"{UNKNOWN} left"
    return f"{'' if left.is_complete else '> '}{clock(left.seconds)} left"


def rate(phase: ActivePhase) -> str:
    """Units per second, three digits at most; "?" before anything was measured."""
    if phase.rate is None or phase.rate <= 0:
        return UNKNOWN
    digits = 0 if phase.rate >= 10 else 1 if phase.rate >= 1 else 2
    return f"{phase.rate:,.{digits}f} {phase.unit}/s"


def done(phase: ActivePhase) -> str:
    """The share that is done, else the number of units."""
    if phase.share is not None:
        return f"{100 * phase.share:.0f} %"
    return f"{phase.done:,}" if phase.done else ""


def checkpoint_name(folder: str) -> str:
    """The checkpoint that a phase's folder belongs to: "spin, seed 0, iteration 3", or "start", the initial policy."""
    parts = folder.split("/")
    if len(parts) < 3 or not parts[2].startswith("iteration-"):
        return "start" if parts[0] == INITIAL else parts[0]
    return f"{trial_name(folder)}, iteration {parts[2].removeprefix('iteration-')}"


def trial_name(folder: str) -> str:
    label, seed = folder.split("/")[:2]
    return f"{label}, seed {seed.removeprefix('seed-')}"


def percent(value: float, error: float = math.nan) -> str:
    """A share in percent, with its standard error where there is one."""
    return f"{100 * value:.1f}" + ("" if math.isnan(error) else f" ± {100 * error:.1f}") + " %"


def score_line(folder: str, score: CheckpointScore) -> str:
    """A checkpoint's score as soon as it is known. The start's says what n and the errors are."""
    name = checkpoint_name(folder)
    if score.mean is None:
        return f"{name}: evaluated; no row of this suite enters a mean, see the tables"
    if name == "start":
        clusters = f" in {score.clusters:,} clusters" if score.clusters != score.items else ""
        error = "; ±: standard error over items, paired for a difference" if not math.isnan(score.stderr) else ""
        tasks = f"mean over {score.tasks} tasks" if score.tasks > 1 else "1 task"
        return f"start: {percent(score.mean, score.stderr)} ({tasks}; n = {score.items:,} items{clusters}{error})"
    if score.change is None:
        return f"{name}: {percent(score.mean, score.stderr)} (n = {score.items:,})"
    known = not math.isnan(score.change_stderr)
    error = f" ± {100 * score.change_stderr:.1f}" if known else ""
    note = "" if known else ", too few for an error"
    return f"{name}: {percent(score.mean)}, {100 * score.change:+.1f}{error} from the start (n = {score.items:,}{note})"


def phase_line(phase: ActivePhase, seconds: float) -> str:
    """A phase that has ended."""
    units = f"{phase.done:,} {phase.unit} in " if phase.unit else ""
    return f"{checkpoint_name(phase.folder)}: {phase.label}, {units}{duration(seconds)}"


def moving_line(phase: ActivePhase, now: float) -> str:
    """A phase at work."""
    seconds = phase.seconds_left(now)
    left = f"{UNKNOWN} left" if seconds is None else f"{clock(seconds)} left"
    return f"{checkpoint_name(phase.folder)}: {phase.label} {done(phase)}, {rate(phase)}, {left}".replace(" ,", ",")


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else clock(seconds)
