"""Statistics of a leaderboard over iterations: arrays of (seeds, tasks, iterations) -> means, intervals, aggregates.

Legend: S seeds, N tasks, T points in time, D bootstrap draws. numpy and scipy; knows nothing of tasks. Two errors are kept apart:
`item_stderr` is the error of sampling test items, the interval over seeds is the spread of training. They are never added.
Every random draw comes from the generator that is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import scipy.stats

SEEDS_FOR_INTERVAL = 3
DRAWS = 2000
Interval = tuple[float, float]


def task_mean(scores: np.ndarray) -> np.ndarray:
    """(S, N, T) -> (S, T) plain mean over tasks; NaN wherever a task is missing: a hole is never averaged over."""
    return scores.mean(axis=1)


def item_stderr(stderrs: np.ndarray) -> np.ndarray:
    """(..., N) standard errors of tasks -> (...) standard error of their plain mean: sqrt(sum se^2) / N, items independent.

    NaN wherever one is missing.
    """
    return np.sqrt((stderrs**2).sum(axis=-1)) / stderrs.shape[-1]


def seed_interval(
    scores: np.ndarray, generator: np.random.Generator, level: float = 0.95, draws: int = DRAWS
) -> tuple[np.ndarray, np.ndarray] | None:
    """(S, N, T) -> lower and upper (T,) bounds of the mean over seeds and tasks, or None below three seeds.

    Percentile bootstrap that redraws seeds within each task (stratified by task, as rliable does, arXiv:2108.13264). It takes the
    tasks of one seed as independent; where a bad seed is bad at everything it is too narrow, so the spread of the seeds' means is
    always shown beside it. NaN where a score is missing.
    """
    seeds, tasks, _ = scores.shape
    if seeds < SEEDS_FOR_INTERVAL:
        return None
    picks = generator.integers(0, seeds, size=(draws, seeds, tasks))
    means = np.stack([np.take_along_axis(scores, pick[:, :, None], axis=0).mean(axis=(0, 1)) for pick in picks])
    lower, upper = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return lower, upper


def interval_of_mean(
    values: np.ndarray, generator: np.random.Generator, level: float = 0.95, draws: int = DRAWS
) -> Interval | None:
    """(S,) one number per seed -> percentile bootstrap interval of their mean, or None below three seeds or with a hole."""
    if values.size < SEEDS_FOR_INTERVAL or np.isnan(values).any():
        return None
    means = values[generator.integers(0, values.size, size=(draws, values.size))].mean(axis=1)
    lower, upper = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(lower), float(upper)


def interquartile_mean(scores: np.ndarray) -> float:
    """(S, N) -> mean of the middle half of all S * N scores (rliable's IQM, arXiv:2108.13264). NaN with a hole."""
    return math.nan if np.isnan(scores).any() else float(scipy.stats.trim_mean(scores.ravel(), proportiontocut=0.25))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """(S, N), (S', N) -> how likely a random seed of the first beats one of the second, mean over tasks; ties count half.

    rliable's definition (arXiv:2108.13264): the Mann-Whitney statistic over S * S' pairs, task by task. NaN with a hole.
    """
    if np.isnan(scores).any() or np.isnan(others).any():
        return math.nan
    wins = (scores[:, None, :] > others[None, :, :]) + 0.5 * (scores[:, None, :] == others[None, :, :])
    return float(wins.mean(axis=(0, 1)).mean())


def detectable_difference(items: Sequence[int], disagreement: float, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference in the plain mean over tasks that a paired comparison of two players can be expected to show.

    items: number of items per task. disagreement: share of items that one of the two answers correctly and the other does not;
    the difference of one item then has variance of at most `disagreement`. Two-sided z-test; the error of sampling items alone.
    """
    error = math.sqrt(sum(disagreement / n for n in items)) / len(items)
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * error


def normalised(value: float, chance: float) -> float:
    """A score mapped so that chance is 0 and the maximum 1."""
    return (value - chance) / (1 - chance)


def spread(values: np.ndarray) -> float:
    """Standard deviation over seeds (n - 1); NaN for one seed: no spread can be known."""
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
