"""Two players on the same items: how large is the difference, and would other items and other seeds have shown it too?

Legend: S seeds, I items of a task, N tasks, D bootstrap draws. numpy only.

Every player has, per task, an array (S, I) of what each item counted. Items are the same in all seeds, so seeds and items are
crossed: a draw redraws seeds once for all tasks, and items within each task, and weighs both. The same draws serve all players,
so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.stats import DRAWS

Tasks = Sequence[np.ndarray]  # one array (S, I) per task


@dataclass(frozen=True)
class Difference:
    """Mean difference, its 95 % bootstrap interval and two-sided p; over how many seeds and items."""

    value: float
    low: float
    high: float
    p: float
    seeds: int
    items: int


class Redraws:
    """D redraws of S seeds and of the items of N tasks, as weights that sum to one."""

    def __init__(self, seeds: int, items: Sequence[int], generator: np.random.Generator, draws: int = DRAWS) -> None:
        self.seeds, self.items = seeds, list(items)
        self._seeds = generator.multinomial(seeds, [1 / seeds] * seeds, size=draws) / seeds
        self._items = [generator.multinomial(n, [1 / n] * n, size=draws) / n for n in items]

    def means(self, tasks: Tasks) -> np.ndarray:
        """N arrays (S, I) -> (N, D) the tasks' means in every draw. Raises ValueError for other seeds or items than drawn for."""
        for values, items in zip(tasks, self.items, strict=True):
            if values.shape != (self.seeds, items):
                raise ValueError(f"drawn for {self.seeds} seeds of {items} items, given {values.shape[0]} of {values.shape[1]}")
        return np.stack([((self._seeds @ v) * w).sum(axis=1) for v, w in zip(tasks, self._items, strict=True)])


def difference(a: Tasks, b: Tasks, redraws: Redraws, level: float = 0.95) -> Difference:
    """a minus b in the plain mean over tasks. With one seed the draws redraw items alone: see `Difference.seeds`."""
    value = float(np.mean([x.mean() - y.mean() for x, y in zip(a, b, strict=True)]))
    drawn = (redraws.means(a) - redraws.means(b)).mean(axis=0)
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    one_side = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (1 + one_side) / (1 + drawn.size))
    return Difference(value, float(low), float(high), float(p), redraws.seeds, sum(redraws.items))


def chance_of_being_best(players: Sequence[Tasks], redraws: Redraws) -> np.ndarray:
    """(players,) share of draws in which each has the highest mean over tasks; ties are shared."""
    means = np.stack([redraws.means(tasks).mean(axis=0) for tasks in players])
    best = means == means.max(axis=0)
    return (best / best.sum(axis=0)).mean(axis=1)


def mcnemar(a: np.ndarray, b: np.ndarray) -> float | None:
    """(S, I), (S, I) right (1) or wrong (0) -> exact two-sided p that the two are equally often right; None for other values.

    One seed: McNemar's exact test, a fair coin for every item on which the two disagree. Several seeds answer the same items, so
    an item is a cluster: its sum over seeds of (a - b) keeps its size and has a fair coin for its sign (the exact form of
    Durkalski et al. 2003, Statistics in Medicine 22:2417). It speaks of items; these seeds are taken as given.
    """
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        return None
    sums = (a - b).sum(axis=0).astype(int)
    total = int(np.abs(sums).sum())
    chances = np.zeros(2 * total + 1)  # of a sum of signed sizes, from -total to total
    chances[total] = 1.0
    for size in np.abs(sums[sums != 0]):
        chances = 0.5 * (np.roll(chances, size) + np.roll(chances, -size))
    extreme = np.abs(np.arange(-total, total + 1)) >= abs(int(sums.sum()))
    return float(min(1.0, chances[extreme].sum()))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for being looked at together (Holm 1979); a missing one stays missing and is not counted."""
    order = sorted((i for i, value in enumerate(p) if value is not None), key=lambda i: p[i])  # type: ignore[arg-type,return-value]
    adjusted: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * float(p[i])))  # type: ignore[arg-type]
        adjusted[i] = highest
    return adjusted
