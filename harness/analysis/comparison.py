"""Paired comparison of two models on the same items: the difference, and whether other items and seeds would show it too.

Legend: S seeds, I items of a task, N tasks, P models, D draws. numpy and scipy.

Every model has, per task, an array (S, I) of item scores. Items are the same in all seeds, so seeds and items are crossed, and a
model's two errors are those of the seeds' means and of the items' means over seeds. Their variances are summed. The interaction
of seeds and items (noise of one answer in one seed) is in both, so it counts twice: the sum is never too small, and too large by
at most a factor of two where there is nothing but such noise. Differences are taken item by item and seed by seed before
averaging, so they are paired. Below three seeds the error is that of items alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.stats

from harness.analysis import item_errors, stats
from harness.analysis.item_errors import ItemLayout, is_binary
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL, Uncertainty, tied

NUM_DRAWS = 20_000
OVER_ITEMS, OVER_ITEMS_AND_SEEDS = "items", "items and seeds"


@dataclass(frozen=True)
class Difference:
    """Mean difference, its interval and two-sided p, None with too few items or without variation; the numbers of seeds, items
    and clusters of items; over: the sources of error that are included."""

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    items: int
    clusters: int
    over: str


@dataclass(frozen=True)
class ItemScores:
    """One model's tasks, or the differences of two: per task the item scores (S, I), and the layout of the items.

    known_binary: per task, whether the values come from right and wrong answers, for differences; inferred if left out.

    Raises ValueError for another number of items than laid out, or of seeds than the first task's.
    """

    values: tuple[np.ndarray, ...]
    layouts: tuple[ItemLayout, ...]
    known_binary: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        for values, layout in zip(self.values, self.layouts, strict=True):
            if values.shape != (self.seeds, layout.items):
                raise ValueError(
                    f"expected {self.seeds} seeds of {layout.items} items, got {values.shape[0]} of {values.shape[1]}"
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
        return sum(count for layout in self.layouts for count in layout.cluster_counts)

    @property
    def has_enough_items(self) -> bool:
        """Whether every task has enough items for an interval."""
        return all(count >= item_errors.MIN_CLUSTERS for layout in self.layouts for count in layout.cluster_counts)

    @cached_property
    def is_binary(self) -> tuple[bool, ...]:
        """Per task, whether its values are right (1) and wrong (0), or differences of such."""
        return self.known_binary or tuple(map(is_binary, self.values))

    @cached_property
    def per_seed(self) -> np.ndarray:
        """(S, N) scores."""
        tasks = zip(self.values, self.layouts, strict=True)
        return np.stack([item_errors.task_means(values, layout.parts) for values, layout in tasks], axis=1)

    @property
    def mean(self) -> float:
        """Plain mean over tasks and seeds."""
        return float(self.per_seed.mean())

    def minus(self, other: ItemScores) -> ItemScores:
        """Item by item and seed by seed. Raises ValueError where the other has other items or seeds."""
        if self.layouts != other.layouts or self.seeds != other.seeds:
            raise ValueError("differences need two models with the same items in the same seeds")
        differences = tuple(a - b for a, b in zip(self.values, other.values, strict=True))
        return ItemScores(differences, self.layouts, tuple(a and b for a, b in zip(self.is_binary, other.is_binary, strict=True)))

    def item_uncertainties(self) -> list[Uncertainty]:
        """The terms of the error of sampling items, of the mean over tasks and these seeds: one per task and part."""
        tasks = zip(self.values, self.layouts, self.is_binary, strict=True)
        return [error.scaled(1 / len(self.values)) for task in tasks for error in item_errors.item_uncertainties(*task)]

    def uncertainty(self) -> Uncertainty:
        """Of the mean over tasks and seeds: items and seeds from three seeds on, else items alone."""
        seed_terms = [stats.seed_uncertainty(self.per_seed.mean(axis=1))] if self.seeds >= MIN_SEEDS_FOR_INTERVAL else []
        return stats.sum_uncertainties([*self.item_uncertainties(), *seed_terms])

    @property
    def over(self) -> str:
        return OVER_ITEMS_AND_SEEDS if self.seeds >= MIN_SEEDS_FOR_INTERVAL else OVER_ITEMS


def difference(a: ItemScores, b: ItemScores, level: float = stats.CONFIDENCE_LEVEL, num_comparisons: int = 1) -> Difference:
    """a minus b in the plain mean over tasks, by Student's t. num_comparisons: the number of differences from which this one was
    selected; interval and p are then Bonferroni's, valid for all of them together.

    p is never below that of a sign test with as many items (clusters) as differ, 2^(1 - m), and the interval contains 0 wherever
    p does not exclude it: few differing items cannot give certainty. Neither is given with fewer than five items in a task.
    """
    paired = a.minus(b)
    value = 0.0 if tied(a.mean, b.mean) else paired.mean
    low = high = p = None
    if paired.has_enough_items:
        uncertainty = paired.uncertainty()
        num_differing = sum(map(item_errors.num_differing_clusters, paired.values, paired.layouts))
        p = 1.0 if value == 0 else stats.p_value(value, uncertainty)
        p = None if p is None else min(1.0, num_comparisons * max(p, 2.0 ** (1 - num_differing)))
        if (bounds := stats.interval(value, uncertainty, 1 - (1 - level) / num_comparisons)) is not None:
            low, high = bounds
            if p is not None and p > 1 - level:
                low, high = min(low, 0.0), max(high, 0.0)
    return Difference(value, low, high, p, paired.seeds, paired.items, paired.clusters, paired.over)


def prob_best(models: Sequence[ItemScores], draws: int = NUM_DRAWS) -> np.ndarray | None:
    """(P,) share of draws in which each model has the highest true mean over tasks; ties shared. None below five items a task.

    The true means are drawn around the measured ones with the joint errors of items and seeds: normal, with every part's and the
    seeds' covariance scaled by its own chi-square, which gives each difference the t distribution that its interval has before
    the summing. Under a flat prior on the means it is the posterior probability of being the best.
    """
    first = models[0]
    if not first.has_enough_items:
        return None
    generator = np.random.default_rng(0)
    means = np.array([model.mean for model in models])
    drawn_means = np.tile(means, (draws, 1))
    for task, layout in enumerate(first.layouts):
        item_means = np.stack([model.values[task].mean(axis=0) for model in models])
        for part_shares, count in zip(item_errors.cluster_shares(item_means, layout), layout.cluster_counts, strict=True):
            factor = _covariance_factor(part_shares.T) / len(first.layouts)
            drawn_means += _t_scale(generator, draws, count - 1) * (generator.standard_normal((draws, factor.shape[0])) @ factor)
        if all(model.is_binary[task] for model in models):
            drawn_means += _unseen_variation(generator, draws, item_means, layout) / len(first.layouts)
    if first.seeds >= MIN_SEEDS_FOR_INTERVAL:
        seed_means = np.stack([model.per_seed.mean(axis=1) for model in models], axis=1)
        factor = _covariance_factor(seed_means - seed_means.mean(axis=0)) / np.sqrt(first.seeds * (first.seeds - 1))
        drawn_means += _t_scale(generator, draws, first.seeds - 1) * (
            generator.standard_normal((draws, factor.shape[0])) @ factor
        )
    is_best = tied(drawn_means, drawn_means.max(axis=1, keepdims=True))
    return (is_best / is_best.sum(axis=1, keepdims=True)).mean(axis=0)


def _covariance_factor(deviations: np.ndarray) -> np.ndarray:
    """(n, P) deviations -> R (min(n, P), P) with R' R equal to theirs: normal draws times R have their covariance."""
    return np.asarray(np.linalg.qr(deviations, mode="r"))


def _t_scale(generator: np.random.Generator, draws: int, df: int) -> np.ndarray:
    """(D, 1) factors that turn normal draws into draws of t with df degrees of freedom."""
    return np.sqrt(df / generator.chisquare(df, size=(draws, 1)))


def _unseen_variation(generator: np.random.Generator, draws: int, item_means: np.ndarray, layout: ItemLayout) -> np.ndarray:
    """(P, I) right and wrong -> (D, P): where all of a model's answers to a part agree, an error as if one cluster differed (see
    `item_errors`), the same for all such models."""
    shifts = np.zeros((draws, len(item_means)))
    start = 0
    for count, size in zip(layout.cluster_counts, layout.parts, strict=True):
        noise = generator.standard_normal((draws, 2)) / (count * len(layout.parts))
        for model, answers in enumerate(item_means[:, start : start + size]):
            if (answers == answers[0]).all() and answers[0] in (0, 1):
                shifts[:, model] += noise[:, int(answers[0])]
        start += size
    return shifts


def mcnemar(a: np.ndarray, b: np.ndarray, layout: ItemLayout | None = None) -> float | None:
    """(S, I), (S, I) right (1) or wrong (0) -> exact two-sided p that the two are equally often right; None for other values.

    One seed and no clusters: McNemar's exact test, a fair coin for every item on which the two disagree. A cluster of items, or
    an item that several seeds answer, keeps the size of its sum of (a - b) and has a fair coin for its sign (the exact form of
    Durkalski et al. 2003, Statistics in Medicine 22:2417). The test is over items; these seeds are taken as given.
    """
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        return None
    layout = layout or ItemLayout((a.shape[1],))
    differences = a.astype(int).sum(axis=0) - b.astype(int).sum(axis=0)
    cluster_sums = np.rint(np.concatenate(layout.cluster_sums(differences))).astype(int)
    total = int(np.abs(cluster_sums).sum())
    probabilities = np.ones(1)  # of a sum of signed sizes, from -total to total
    for size, count in zip(*np.unique(np.abs(cluster_sums[cluster_sums != 0]), return_counts=True), strict=True):
        signed_pmf = np.zeros(2 * size * count + 1)
        signed_pmf[:: 2 * size] = scipy.stats.binom.pmf(np.arange(count + 1), count, 0.5)  # of as many fair coins
        probabilities = np.convolve(probabilities, signed_pmf)
    is_extreme = np.abs(np.arange(-total, total + 1)) >= abs(int(cluster_sums.sum()))
    return float(min(1.0, probabilities[is_extreme].sum()))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values adjusted for multiple comparisons (Holm 1979); a missing one stays missing and is not counted."""
    order = sorted((i for i, value in enumerate(p) if value is not None), key=lambda i: p[i])  # type: ignore[arg-type,return-value]
    adjusted: list[float | None] = [None] * len(p)
    running_max = 0.0
    for rank, i in enumerate(order):
        running_max = max(running_max, min(1.0, (len(order) - rank) * float(p[i])))  # type: ignore[arg-type]
        adjusted[i] = running_max
    return adjusted
