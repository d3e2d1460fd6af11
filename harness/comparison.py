"""Two players on the same items: how large is the difference, and would other items and other seeds have shown it too?

Legend: S seeds, I items of a task, N tasks, D bootstrap draws. numpy only.

Every player has, per task, an array (S, I) of what each item counted. Items are the same in all seeds, so seeds and items are
crossed: a draw redraws seeds once for all tasks, and items within each task, and weighs both. The same draws serve all players,
so that differences are paired.

A task may consist of parts, given as their numbers of items in order: a group whose score is the plain mean of its tasks'
whatever their sizes. Items are redrawn within each part, and the task's mean is the plain mean of the parts'.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

LEAST_DRAWS, MOST_DRAWS = 2_000, 20_000
WEIGHTS_KEPT = 40_000_000  # weights of items in all draws together, four bytes each
DRAWS_AT_ONCE = 1_000
Tasks = Sequence[np.ndarray]  # one array (S, I) per task
Parts = tuple[int, ...]  # numbers of items of a task's parts; one for a task that has none


@dataclass(frozen=True)
class Difference:
    """Mean difference, its 95 % bootstrap interval and two-sided p; over how many seeds and items, from how many draws."""

    value: float
    low: float
    high: float
    p: float
    seeds: int
    items: int
    draws: int


@dataclass(frozen=True)
class Redrawn:
    """One player's tasks: what each item counted, the tasks' means (N,), and the same in every draw (N, D)."""

    values: tuple[np.ndarray, ...]
    means: np.ndarray
    draws: np.ndarray
    seeds: int
    parts: tuple[Parts, ...]

    @property
    def items(self) -> int:
        """Of all tasks together."""
        return sum(map(sum, self.parts))

    def task(self, number: int) -> Redrawn:
        """One task by itself."""
        one = slice(number, number + 1)
        return Redrawn(self.values[one], self.means[one], self.draws[one], self.seeds, self.parts[one])

    def mapped(self, numbers: Sequence[int], maps: Sequence[Callable[[np.ndarray], np.ndarray]]) -> Redrawn:
        """Some tasks, each through a linear map of its values, which is then that of its means and draws too."""
        return Redrawn(
            tuple(to(self.values[n]) for n, to in zip(numbers, maps, strict=True)),
            np.array([to(self.means[n]) for n, to in zip(numbers, maps, strict=True)]),
            np.stack([to(self.draws[n]) for n, to in zip(numbers, maps, strict=True)]),
            self.seeds,
            tuple(self.parts[n] for n in numbers),
        )

    def per_seed(self) -> np.ndarray:
        """(S, N) scores."""
        return np.stack([np.stack([mean_of(row, p) for row in t]) for t, p in zip(self.values, self.parts, strict=True)], axis=1)


class Redraws:
    """D redraws of S seeds and of the items of N tasks, kept as counts.

    draws: by default as many as fit (`WEIGHTS_KEPT`), from 2,000 to 20,000: the smallest p that can be seen is 2 / (D + 1), and
    it is multiplied by the number of comparisons. items: of every task, as a number or as the numbers of its parts.
    """

    def __init__(
        self, seeds: int, items: Sequence[int | Parts], generator: np.random.Generator, draws: int | None = None
    ) -> None:
        self.seeds, self.parts = seeds, tuple((n,) if isinstance(n, int) else n for n in items)
        total = sum(map(sum, self.parts))
        self.draws = draws or int(np.clip(WEIGHTS_KEPT // max(1, total), LEAST_DRAWS, MOST_DRAWS))
        self._seeds = generator.multinomial(seeds, [1 / seeds] * seeds, size=self.draws).astype(np.float32)
        self._items = [
            [generator.multinomial(n, [1 / n] * n, size=self.draws).astype(np.float32) for n in parts] for parts in self.parts
        ]

    def of(self, tasks: Tasks) -> Redrawn:
        """N arrays (S, I) -> the player's means. Raises ValueError for other seeds or items than drawn for."""
        for values, parts in zip(tasks, self.parts, strict=True):
            if values.shape != (self.seeds, sum(parts)):
                raise ValueError(
                    f"drawn for {self.seeds} seeds of {sum(parts)} items, given {values.shape[0]} of {values.shape[1]}"
                )
        drawn = []
        for values, parts, counts in zip(tasks, self.parts, self._items, strict=True):
            pieces = [self._means(part, some) for part, some in zip(in_parts(values, parts), counts, strict=True)]
            drawn.append(pieces[0] if len(pieces) == 1 else np.mean(pieces, axis=0))
        means = np.array([mean_of(values, parts) for values, parts in zip(tasks, self.parts, strict=True)])
        return Redrawn(tuple(tasks), means, np.stack(drawn), self.seeds, self.parts)

    def _means(self, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """(S, I), (D, I) -> (D,): every item's mean over the redrawn seeds, then over the redrawn items."""
        parts = []
        for start in range(0, self.draws, DRAWS_AT_ONCE):
            some = slice(start, start + DRAWS_AT_ONCE)
            parts.append(((self._seeds[some] @ values) * counts[some]).sum(axis=1) / values.size)
        return np.concatenate(parts)


def in_parts(values: np.ndarray, parts: Parts) -> list[np.ndarray]:
    """(..., I) -> one array (..., n) per part."""
    return [values] if len(parts) == 1 else np.split(values, np.cumsum(parts)[:-1], axis=-1)


def mean_of(values: np.ndarray, parts: Parts) -> float:
    """(..., I) -> the task's mean: the plain mean of its parts' means."""
    means = [part.mean() for part in in_parts(values, parts)]
    return float(means[0] if len(means) == 1 else np.mean(means))


def difference(a: Redrawn, b: Redrawn, level: float = 0.95) -> Difference:
    """a minus b in the plain mean over tasks. With one seed the draws redraw items alone: see `Difference.seeds`."""
    value = float((a.means - b.means).mean())
    drawn = (a.draws - b.draws).mean(axis=0)
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    one_side = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (1 + one_side) / (1 + drawn.size))
    return Difference(value, float(low), float(high), float(p), a.seeds, a.items, drawn.size)


def chance_of_being_best(players: Sequence[Redrawn]) -> np.ndarray:
    """(players,) share of draws in which each has the highest mean over tasks; ties are shared."""
    means = np.stack([player.draws.mean(axis=0) for player in players])
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
