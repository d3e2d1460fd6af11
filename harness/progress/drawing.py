"""The live display as lines of text: overall progress, and one line per trial at work, as wide as the terminal and no wider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.progress import wording
from harness.progress.columns import blocks
from harness.progress.planned import ActivePhase, RunProgress

MIN_BAR = 8
HEADER = ("trial", "iteration", "phase", "done", "rate", "left", "score")
TO_THE_LEFT = (HEADER.index("trial"), HEADER.index("phase"))


def overall_line(progress: RunProgress, now: float, width: int, ascii_only: bool = False) -> str:
    """`phase 12 of 54 ━━━━━━━━── 22 %  0:12:40 left`."""
    share = progress.share()
    number = min(progress.num_done + 1, len(progress.planned)) if progress.left else progress.num_done
    left, right = (
        f"phase {number} of {len(progress.planned)} ",
        f" {100 * share:3.0f} %  {wording.time_left(progress.time_left(now))}",
    )
    length = width - len(left) - len(right)
    if length < MIN_BAR:
        return f"{left.strip()},{right}"[:width]
    full, empty = ("#", "-") if ascii_only else ("━", "─")
    filled = round(share * length)
    return left + full * filled + empty * (length - filled) + right


def trial_lines(phases: Sequence[ActivePhase], scores: Mapping[str, str], now: float, width: int, max_lines: int) -> list[str]:
    """A header and one line per phase at work; a name that has no room beside the numbers stands above them. At most `max_lines`,
    the last of which says how many there are more.

    scores: of the trial's last checkpoint, in print, by trial.
    """
    if not phases or max_lines < 2:
        return []
    header, *rows = blocks([HEADER, *(_cells(phase, scores, now) for phase in phases)], width, TO_THE_LEFT)
    lines = header
    for number, row in enumerate(rows):
        num_more = len(rows) - number
        if len(lines) + len(row) + (num_more > 1) > max_lines:
            return [*lines, f"and {num_more} more at work"]
        lines = lines + row
    return lines


def _cells(phase: ActivePhase, scores: Mapping[str, str], now: float) -> tuple[str, ...]:
    parts = phase.folder.split("/")
    in_iteration = len(parts) > 2 and parts[2].startswith("iteration-")
    trial = wording.trial_name(phase.folder) if in_iteration else "start"
    iteration = parts[2].removeprefix("iteration-") if in_iteration else ""
    seconds = phase.seconds_left(now)
    left = wording.UNKNOWN if seconds is None else wording.clock(seconds)
    score = scores.get("/".join(parts[:2]), "") if in_iteration else ""
    return trial, iteration, phase.label, wording.done(phase), wording.rate(phase) if phase.unit else "", left, score
