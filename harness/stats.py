"""Statistics of a leaderboard over iterations: arrays of (seeds, tasks, iterations) -> means, intervals, stability.

Legend: S seeds, N tasks, T points in time. numpy only; knows nothing of tasks. Two errors are kept apart: `item_stderr` is
the error of sampling test items, the interval over seeds is the spread of training. They are never added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

SEEDS_FOR_INTERVAL = 3


@dataclass(frozen=True)
class Stability:
    """How one curve of T means behaves. Iterations count from 0, the first trained one.

    best: the highest mean and its iteration (the first, if tied). drop: best - last. largest_fall: the largest loss from one
    iteration to the next, 0 if there is none. falls: how many iterations lost. area_lost: mean over iterations of the
    running best minus the value, in the unit of the scores.
    """

    best_iteration: int
    best: float
    last: float
    drop: float
    largest_fall: float
    falls: int
    area_lost: float


def task_mean(scores: np.ndarray) -> np.ndarray:
    """(S, N, T) -> (S, T) plain mean over tasks; NaN wherever a task is missing: a hole is never averaged over."""
    return scores.mean(axis=1)


def item_stderr(stderrs: np.ndarray) -> np.ndarray:
    """(..., N) standard errors of tasks -> (...) standard error of their plain mean: sqrt(sum se^2) / N, items independent.

    NaN wherever one is missing.
    """
    return np.sqrt((stderrs**2).sum(axis=-1)) / stderrs.shape[-1]


def stability(curve: np.ndarray) -> Stability | None:
    """(T,) means of the trained iterations -> Stability; None when a point is missing or there is none."""
    if curve.size == 0 or np.isnan(curve).any():
        return None
    steps = np.diff(curve)
    best = int(np.argmax(curve))
    return Stability(
        best_iteration=best,
        best=float(curve[best]),
        last=float(curve[-1]),
        drop=float(curve[best] - curve[-1]),
        largest_fall=float(max(0.0, -steps.min())) if steps.size else 0.0,
        falls=int((steps < 0).sum()),
        area_lost=float((np.maximum.accumulate(curve) - curve).mean()),
    )


def seed_interval(
    scores: np.ndarray, generator: np.random.Generator, level: float = 0.95, draws: int = 2000
) -> tuple[np.ndarray, np.ndarray] | None:
    """(S, N, T) -> lower and upper (T,) bounds of the mean over seeds and tasks, or None below three seeds.

    Percentile bootstrap that redraws seeds within each task (stratified by task, as rliable does).
    """
    seeds, tasks, _ = scores.shape
    if seeds < SEEDS_FOR_INTERVAL:
        return None
    picks = generator.integers(0, seeds, size=(draws, seeds, tasks))
    means = np.stack([np.take_along_axis(scores, pick[:, :, None], axis=0).mean(axis=(0, 1)) for pick in picks])
    lower, upper = np.percentile(means, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return lower, upper


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
