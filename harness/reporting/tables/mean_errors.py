"""How far a mean over tasks and seeds may be off, from the items themselves where a row is made of items.

Legend: S seeds. Seeds answer the same items: the error of items is that of the items' means over seeds, the error of seeds that
of the seeds' means, and both add up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis import stats
from harness.analysis.item_errors import LEAST_CLUSTERS, enough, item_errors, right_or_wrong
from harness.analysis.stats import Uncertainty
from harness.records import INITIAL
from harness.reporting.tables.players import Arena, Player


class ItemErrors:
    """What adds up to the error of sampling test items of a player's mean, or of one row: from the items themselves where the row
    is made of items, else from the recorded standard errors."""

    def __init__(self, arena: Arena) -> None:
        self.arena, self.facts = arena, arena.facts

    def of(
        self, player: Player, seeds: Sequence[int], names: Sequence[str], plain: bool = True
    ) -> tuple[list[Uncertainty], bool]:
        """Of the plain mean over these rows, as shares where they are counted, and whether every row has items enough for an
        interval. A variance is NaN where no error is known. plain: whether, for an interval,
        right and wrong answers that are all alike are given the error of one being otherwise, see `item_errors`."""
        found: list[Uncertainty] = []
        whole = True
        for name in names:
            scale = self.facts.scales[name]
            answered = self.arena.row(player, seeds, name)
            if answered is not None:
                values = scale.share(answered.values[0]) if scale.counted else answered.values[0]
                found += item_errors(values, answered.layouts[0], plain and right_or_wrong(values))
                whole = whole and enough(answered.layouts)
            else:
                error, count = self._recorded(player, seeds, name)
                found.append(Uncertainty((scale.error(error) if scale.counted else error) ** 2, max(1, count - 1)))
                whole = whole and count >= LEAST_CLUSTERS
        return [one.scaled(1 / len(names)) for one in found], whole

    def _recorded(self, player: Player, seeds: Sequence[int], name: str) -> tuple[float, int]:
        """Root mean square over seeds of the standard errors in scores.csv, and the number of items, or of clusters of items."""
        rows = self.facts.scores
        rows = rows[(rows["objective"] == player.objective) & (rows["iteration"] == player.iteration) & (rows["task"] == name)]
        if player.objective != INITIAL:
            rows = rows[rows["seed"].isin(list(seeds))]
        count = rows["clusters"].fillna(rows["n"]).min()
        return float(np.sqrt((rows["stderr"].astype(float) ** 2).mean(skipna=False))), int(count)


def interval_of(
    errors: ItemErrors, player: Player, seeds: Sequence[int], names: Sequence[str], values: np.ndarray, level: float = stats.LEVEL
) -> stats.Interval | None:
    """The interval of a mean over seeds and over these rows, items and seeds added up. values: (S,) the seeds' means.

    None below three seeds, below five items in a row, and where an error is not known.
    """
    if len(values) < stats.SEEDS_FOR_INTERVAL or np.isnan(values).any():
        return None
    items, whole = errors.of(player, seeds, names)
    return stats.interval(float(values.mean()), stats.summed([*items, stats.over_seeds(values)]), level) if whole else None


def item_stderr(errors: ItemErrors, player: Player, seeds: Sequence[int]) -> float:
    """Standard error of the mean over tasks from sampling items, as a share; NaN where a task has none."""
    items, _ = errors.of(player, seeds, [row["name"] for row in errors.facts.counted], plain=False)
    return float(np.sqrt(sum(one.variance for one in items)))
