"""Two players on the same items: how large is the difference, and would other items and other seeds have shown it too?

Legend: S seeds, I items of a task, N tasks, P players, D draws. numpy and scipy.

Every player has, per task, an array (S, I) of what each item counted. Items are the same in all seeds, so seeds and items are
crossed, and a player's two errors are those of the seeds' means and of the items' means over seeds. Their variances are summed.
What seeds and items have only together (noise of one answer in one seed) is in both, so it counts twice: the sum is never too
small, and too large by at most a factor of two where there is nothing but such noise. Differences are taken item by item and
seed by seed before anything is averaged, so they are paired. Below three seeds the items' error stands alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.stats

from harness.analysis.item_errors import Layout, deviations, enough, item_errors, means_of, right_or_wrong, units_that_differ
from harness.analysis.stats import LEVEL, SEEDS_FOR_INTERVAL, Uncertainty, interval, over_seeds, p_value, summed, tied

DRAWS = 20_000
ITEMS, BOTH = "items", "items and seeds"


@dataclass(frozen=True)
class Difference:
    """Mean difference, its interval and two-sided p, None where too few items (or nothing that varies) cannot show them; over how
    many seeds, items and clusters of items; over: what the error is made of."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    items: int
    clusters: int
    over: str


@dataclass(frozen=True)
class Answered:
    """One player's tasks, or two players' differences: per task what each item counted (S, I), and how the items are laid out.

    given: per task, whether the values come from right and wrong answers, for differences; found from the values if left out.

    Raises ValueError for another number of items than laid out, or of seeds than the first task's.
    """

    values: tuple[np.ndarray, ...]
    layouts: tuple[Layout, ...]
    given: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        for values, layout in zip(self.values, self.layouts, strict=True):
            if values.shape != (self.seeds, layout.items):
                raise ValueError(
                    f"laid out for {self.seeds} seeds of {layout.items} items, given {values.shape[0]} of {values.shape[1]}"
                )

    @property
    def seeds(self) -> int:
        return self.values[0].shape[0]

    @property
    def items(self) -> int:
        """Of all tasks together."""
        return sum(layout.items for layout in self.layouts)

    @property
    def clusters(self) -> int:
        """Of all tasks together; as many as items where every item is its own."""
        return sum(sum(layout.counts) for layout in self.layouts)

    @property
    def enough(self) -> bool:
        """Whether every task has the items that an interval needs."""
        return enough(self.layouts)

    @cached_property
    def plain(self) -> tuple[bool, ...]:
        """Per task, whether its values are right (1) and wrong (0), or differences of such."""
        return self.given or tuple(map(right_or_wrong, self.values))

    @cached_property
    def per_seed(self) -> np.ndarray:
        """(S, N) scores."""
        return np.stack([means_of(t, layout.parts) for t, layout in zip(self.values, self.layouts, strict=True)], axis=1)

    @property
    def mean(self) -> float:
        """Plain mean over tasks and seeds."""
        return float(self.per_seed.mean())

    def task(self, number: int) -> Answered:
        """One task by itself."""
        return Answered((self.values[number],), (self.layouts[number],))

    def mapped(self, numbers: Sequence[int], maps: Sequence[Callable[[np.ndarray], np.ndarray]]) -> Answered:
        """Some tasks, each through a linear map of its values."""
        mapped = tuple(to(self.values[n]) for n, to in zip(numbers, maps, strict=True))
        return Answered(mapped, tuple(self.layouts[n] for n in numbers))

    def minus(self, other: Answered) -> Answered:
        """Item by item and seed by seed. Raises ValueError where the other has other items or seeds."""
        if self.layouts != other.layouts or self.seeds != other.seeds:
            raise ValueError("differences are taken between players with the same items in the same seeds")
        gaps = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
        return Answered(gaps, self.layouts, tuple(a and b for a, b in zip(self.plain, other.plain, strict=True)))

    def item_errors(self) -> list[Uncertainty]:
        """What adds up to the error of the mean over tasks and these seeds, had other items been drawn: one per task and part."""
        tasks = zip(self.values, self.layouts, self.plain, strict=True)
        return [error.scaled(1 / len(self.values)) for task in tasks for error in item_errors(*task)]

    def error(self) -> Uncertainty:
        """Of the mean over tasks and seeds: items and seeds from three seeds on, else items alone."""
        seeds = [over_seeds(self.per_seed.mean(axis=1))] if self.seeds >= SEEDS_FOR_INTERVAL else []
        return summed([*self.item_errors(), *seeds])

    @property
    def over(self) -> str:
        return BOTH if self.seeds >= SEEDS_FOR_INTERVAL else ITEMS


def difference(a: Answered, b: Answered, level: float = LEVEL, looks: int = 1) -> Difference:
    """a minus b in the plain mean over tasks, by Student's t. looks: among how many differences this one was picked out; its
    interval and p are then those of Bonferroni, right for all of them together.

    p is never below what a sign test could give with as many items (clusters) as differ, 2^(1 - m), and the interval holds 0
    wherever p says that 0 is possible: a few answers are no certainty. Fewer than five items in a task: neither.
    """
    gaps = a.minus(b)
    value = 0.0 if tied(a.mean, b.mean) else gaps.mean
    low = high = p = None
    if gaps.enough:
        error = gaps.error()
        differ = sum(units_that_differ(g, layout) for g, layout in zip(gaps.values, gaps.layouts, strict=True))
        p = 1.0 if value == 0 else p_value(value, error)
        p = None if p is None else min(1.0, looks * max(p, 2.0 ** (1 - differ)))
        if (found := interval(value, error, 1 - (1 - level) / looks)) is not None:
            low, high = found
            if p is not None and p > 1 - level:
                low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, low, high, p, gaps.seeds, gaps.items, gaps.clusters, gaps.over)


def chance_of_being_best(players: Sequence[Answered], draws: int = DRAWS) -> np.ndarray | None:
    """(P,) share of draws in which each has the highest true mean over tasks; ties are shared. None below five items a task.

    The true means are drawn about the measured ones with the errors of items and seeds that all players share: normal, with
    every part's and the seeds' covariance scaled by its own chi-square, which gives each difference the t distribution that its
    interval has before the summing. Where all means are equally likely beforehand, it is the probability of being the best.
    """
    first = players[0]
    if not first.enough:
        return None
    generator = np.random.default_rng(0)
    means = np.array([player.mean for player in players])
    drawn = np.tile(means, (draws, 1))
    for number, layout in enumerate(first.layouts):
        over = np.stack([player.values[number].mean(axis=0) for player in players])
        for shares, count in zip(deviations(over, layout), layout.counts, strict=True):
            factor = _factor(shares.T) / len(first.layouts)
            drawn += _scaled(generator, draws, count - 1) * (generator.standard_normal((draws, factor.shape[0])) @ factor)
        if all(player.plain[number] for player in players):
            drawn += _unseen(generator, draws, over, layout) / len(first.layouts)
    if first.seeds >= SEEDS_FOR_INTERVAL:
        seeds = np.stack([player.per_seed.mean(axis=1) for player in players], axis=1)
        factor = _factor(seeds - seeds.mean(axis=0)) / np.sqrt(first.seeds * (first.seeds - 1))
        drawn += _scaled(generator, draws, first.seeds - 1) * (generator.standard_normal((draws, factor.shape[0])) @ factor)
    best = tied(drawn, drawn.max(axis=1, keepdims=True))
    return (best / best.sum(axis=1, keepdims=True)).mean(axis=0)


def _factor(deviations: np.ndarray) -> np.ndarray:
    """(n, P) -> R (min(n, P), P) with R' R the same as of the deviations: normal draws times R have their covariance."""
    return np.asarray(np.linalg.qr(deviations, mode="r"))


def _scaled(generator: np.random.Generator, draws: int, df: int) -> np.ndarray:
    """(D, 1) that makes normal draws those of t with df degrees of freedom."""
    return np.sqrt(df / generator.chisquare(df, size=(draws, 1)))


def _unseen(generator: np.random.Generator, draws: int, over: np.ndarray, layout: Layout) -> np.ndarray:
    """(P, I) right and wrong -> (D, P): where all of a player's answers to a part are alike, an error as if one cluster were
    otherwise (see `item_errors`), the same for all players that are alike."""
    found = np.zeros((draws, len(over)))
    start = 0
    for count, size in zip(layout.counts, layout.parts, strict=True):
        noise = generator.standard_normal((draws, 2)) / (count * len(layout.parts))
        for player, answers in enumerate(over[:, start : start + size]):
            if (answers == answers[0]).all() and answers[0] in (0, 1):
                found[:, player] += noise[:, int(answers[0])]
        start += size
    return found


def mcnemar(a: np.ndarray, b: np.ndarray, layout: Layout | None = None) -> float | None:
    """(S, I), (S, I) right (1) or wrong (0) -> exact two-sided p that the two are equally often right; None for other values.

    One seed and no clusters: McNemar's exact test, a fair coin for every item on which the two disagree. A cluster of items, or
    an item that several seeds answer, keeps the size of its sum of (a - b) and has a fair coin for its sign (the exact form of
    Durkalski et al. 2003, Statistics in Medicine 22:2417). It speaks of items; these seeds are taken as given.
    """
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        return None
    layout = layout or Layout((a.shape[1],))
    gaps = a.astype(int).sum(axis=0) - b.astype(int).sum(axis=0)
    sums = np.rint(np.concatenate(layout.sums(gaps))).astype(int)
    total = int(np.abs(sums).sum())
    chances = np.ones(1)  # of a sum of signed sizes, from -total to total
    for size, count in zip(*np.unique(np.abs(sums[sums != 0]), return_counts=True), strict=True):
        heads = np.zeros(2 * size * count + 1)
        heads[:: 2 * size] = _coins(int(count))
        chances = np.convolve(chances, heads)
    extreme = np.abs(np.arange(-total, total + 1)) >= abs(int(sums.sum()))
    return float(min(1.0, chances[extreme].sum()))


def _coins(count: int) -> np.ndarray:
    """Probabilities of 0 to `count` heads of as many fair coins."""
    return scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for being looked at together (Holm 1979); a missing one stays missing and is not counted."""
    order = sorted((i for i, value in enumerate(p) if value is not None), key=lambda i: p[i])  # type: ignore[arg-type,return-value]
    adjusted: list[float | None] = [None] * len(p)
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * float(p[i])))  # type: ignore[arg-type]
        adjusted[i] = highest
    return adjusted
