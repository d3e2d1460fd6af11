"""What a task cannot say, by rules over plain numbers: constant predictions, a full score, chance, and a loss since the start.

The thresholds are conventions: they are defined here alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONSTANT_SHARE = 0.95  # of the items that get one and the same predicted text
MIN_CONSTANT_ITEMS = 20
FULL = 0.95  # of the scale
CHANCE_ERRORS = 2.0  # standard errors over items (or clusters of items) within which a score is chance


@dataclass(frozen=True)
class TaskNote:
    """note: constant, full, at chance, or falling; with its evidence in words, the value, and the bound that it passed."""

    note: str
    evidence: str
    value: float
    bound: float


def notes_on_score(value: float, stderr: float, chance: float, predictions: Sequence[Sequence[int]]) -> Iterator[TaskNote]:
    """value, stderr, chance: shares of 1, chance 0 where there is none; predictions: per seed, the number of each item's text."""
    shares = [Counter(texts).most_common(1)[0][1] / len(texts) for texts in predictions if len(texts) >= MIN_CONSTANT_ITEMS]
    if shares and min(shares) >= CONSTANT_SHARE:
        evidence = f"one and the same prediction for {min(shares):.0%} of the items"
        yield TaskNote("constant", evidence, min(shares), CONSTANT_SHARE)
    if value >= FULL:
        yield TaskNote("full", f"{100 * value:.1f} %", value, FULL)
    if chance > 0 and abs(value - chance) <= CHANCE_ERRORS * stderr:
        evidence = f"{100 * value:.1f} %, chance {100 * chance:.1f} %, standard error {100 * stderr:.1f}"
        yield TaskNote("at chance", evidence, value, chance + CHANCE_ERRORS * stderr)


def note_on_change(difference: float, low: float, high: float) -> TaskNote | None:
    """difference: last iteration minus the start in shares of 1, with its paired 95 % interval."""
    if not high < 0:
        return None
    evidence = f"{100 * difference:+.1f} points since the start [{100 * low:+.1f}, {100 * high:+.1f}]"
    return TaskNote("falling", evidence, difference, 0.0)
