"""What a task cannot say, by rules over plain numbers: constant predictions, a full score, chance, and a loss since the start.

The thresholds are conventions: they are defined here alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONSTANT_SHARE = 0.95  # of the items that get one and the same predicted text, or the option at one and the same place
MIN_CONSTANT_ITEMS = 20
FULL = 0.95  # of the scale
FALLING_P = 0.05  # of the paired difference, adjusted by Holm over the tasks
CHANCE_ERRORS = 2.0  # standard errors over items (or clusters of items) within which a score is chance


@dataclass(frozen=True)
class TaskNote:
    """note: constant, full, at chance, or falling; with its evidence in words, the value, and the bound that it passed."""

    note: str
    evidence: str
    value: float
    bound: float


@dataclass(frozen=True)
class Predictions:
    """Of one seed, per item: the number of the predicted text, and the place of the chosen option among the item's (empty where
    there are no options, or where they are not known)."""

    texts: Sequence[int]
    places: Sequence[int] = ()

    def constant_share(self) -> tuple[float, str]:
        """Of the items that get the commonest prediction, and what is the same of it."""
        shares = {}
        for what, of_items in (("prediction", self.texts), ("option's place", self.places)):
            if len(of_items) >= MIN_CONSTANT_ITEMS:
                shares[what] = Counter(of_items).most_common(1)[0][1] / len(of_items)
        return max(((share, what) for what, share in shares.items()), key=lambda found: found[0], default=(0.0, ""))


def notes_on_score(value: float, stderr: float, chance: float, predictions: Sequence[Predictions]) -> Iterator[TaskNote]:
    """value, stderr, chance: shares of 1, chance 0 where there is none; predictions: of every seed where they are known."""
    share, what = min((of_seed.constant_share() for of_seed in predictions), default=(0.0, ""))
    if share >= CONSTANT_SHARE:
        yield TaskNote("constant", f"one and the same {what} for {share:.0%} of the items", share, CONSTANT_SHARE)
    if value >= FULL:
        yield TaskNote("full", f"{100 * value:.1f} %", value, FULL)
    if chance > 0 and abs(value - chance) <= CHANCE_ERRORS * stderr:
        evidence = f"{100 * value:.1f} %, chance {100 * chance:.1f} %, standard error {100 * stderr:.1f}"
        yield TaskNote("at chance", evidence, value, chance + CHANCE_ERRORS * stderr)


def note_on_change(difference: float, low: float, high: float, p_holm: float) -> TaskNote | None:
    """difference: last iteration minus the start in shares of 1, with its paired 95 % interval and the p adjusted over tasks: of
    ten tasks that do not move, one in four runs would have an interval below 0."""
    if not (difference < 0 and p_holm < FALLING_P):
        return None
    evidence = f"{100 * difference:+.1f} points since the start [{100 * low:+.1f}, {100 * high:+.1f}]"
    return TaskNote("falling", evidence, difference, 0.0)
