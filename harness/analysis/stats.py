"""Errors and intervals of means: Student's t, variances summed with Satterthwaite's degrees of freedom, aggregates over seeds.

Legend: S seeds, N tasks, T points in time. numpy and scipy; knows nothing of tasks, and draws nothing: equal numbers give equal
intervals. What the intervals cover is simulated in tests/bench/coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy.special
import scipy.stats

SEEDS_FOR_INTERVAL = 3
LEVEL = 0.95
TIE = 1e-9  # relative; far below one answer of any suite, far above the rounding of a sum
BOUND = 0.25  # the degrees of freedom of a sum are taken at the variances' upper 75 % bounds
Interval = tuple[float, float]


@dataclass(frozen=True)
class Uncertainty:
    """How far an estimate may be off: its variance, in the square of its unit, and the variance's degrees of freedom."""

    variance: float
    df: float

    @property
    def stderr(self) -> float:
        return math.sqrt(self.variance)

    def scaled(self, factor: float) -> Uncertainty:
        """Of the estimate times `factor`."""
        return Uncertainty(factor**2 * self.variance, self.df)


def over_seeds(values: np.ndarray) -> Uncertainty:
    """(S,) one number per seed, S >= 2 -> the uncertainty of their mean: s^2 / S with S - 1 degrees of freedom."""
    return Uncertainty(float(values.var(ddof=1)) / values.size, values.size - 1)


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances: (sum v)^2 / sum(v^2 / df) (Satterthwaite 1946, Biometrics 2:110)."""
    return sum(variances) ** 2 / sum(v**2 / df for v, df in zip(variances, dfs, strict=True))


def summed(parts: Iterable[Uncertainty]) -> Uncertainty:
    """The uncertainty of a sum of independent estimates.

    A variance that came out too small by chance would be given too little weight in Satterthwaite's formula and so too many
    degrees of freedom, for the very sum that is too small: with three seeds true nulls are then rejected in up to 8 % of cases.
    So the formula is fed with every variance's upper 75 % confidence bound, v * df / chi2(0.25, df), which keeps that below 6 %.
    One part, or parts of equal df, have Satterthwaite's own degrees of freedom.
    """
    kept = [part for part in parts if part.variance > 0 or math.isnan(part.variance)]
    if not kept:
        return Uncertainty(0.0, math.inf)
    dfs = [part.df for part in kept]
    bounds = [p.variance * p.df / float(scipy.special.chdtri(p.df, 1 - BOUND)) for p in kept]
    return Uncertainty(sum(part.variance for part in kept), satterthwaite(bounds, dfs))


def interval(value: float, error: Uncertainty, level: float = LEVEL) -> Interval | None:
    """Student's t interval; None where nothing varies, for then nothing shows how far off the value may be."""
    if not error.variance > 0:  # NaN too
        return None
    half = float(scipy.special.stdtrit(error.df, (1 + level) / 2)) * error.stderr
    return value - half, value + half


def p_value(value: float, error: Uncertainty) -> float | None:
    """Two-sided p of Student's t test that the true value is 0; None where nothing varies."""
    return 2 * float(scipy.special.stdtr(error.df, -abs(value) / error.stderr)) if error.variance > 0 else None


def interval_of_mean(values: np.ndarray, generator: object = None, level: float = LEVEL) -> Interval | None:
    """(S,) one number per seed -> Student's t interval of their mean: what other seeds would give on the same items.

    None below three seeds, with a hole, and where all seeds have one and the same value. generator: not used, nothing is drawn;
    it may be given as long as others call with one.
    """
    if values.size < SEEDS_FOR_INTERVAL or np.isnan(values).any() or tied(values.min(), values.max()):
        return None
    return interval(float(values.mean()), over_seeds(values), level)


def seed_interval(scores: np.ndarray, generator: object = None, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray] | None:
    """(S, N, T) -> lower and upper (T,) bounds of the mean over seeds and tasks, or None below three seeds.

    `interval_of_mean` of the seeds' means over tasks, so whatever the tasks of a seed share is in it. NaN where there is none.
    """
    if scores.shape[0] < SEEDS_FOR_INTERVAL:
        return None
    found = [interval_of_mean(means, generator, level) or (math.nan, math.nan) for means in task_mean(scores).T]
    lower, upper = np.array(found).T
    return lower, upper


def tied(a: float | np.ndarray, b: float | np.ndarray) -> np.ndarray:
    """Whether two numbers are equal but for the rounding of the sums they come from."""
    return np.isclose(a, b, rtol=TIE, atol=1e-12)


def task_mean(scores: np.ndarray) -> np.ndarray:
    """(S, N, T) -> (S, T) plain mean over tasks; NaN wherever a task is missing: a hole is never averaged over."""
    return scores.mean(axis=1)


def item_stderr(stderrs: np.ndarray) -> np.ndarray:
    """(..., N) standard errors of tasks -> (...) standard error of their plain mean: sqrt(sum se^2) / N, items independent.

    NaN wherever one is missing.
    """
    return np.sqrt((stderrs**2).sum(axis=-1)) / stderrs.shape[-1]


def interquartile_mean(scores: np.ndarray) -> float:
    """(S, N) -> mean of the middle half of all S * N scores (rliable's IQM, arXiv:2108.13264). NaN with a hole."""
    return math.nan if np.isnan(scores).any() else float(scipy.stats.trim_mean(scores.ravel(), proportiontocut=0.25))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """(S, N), (S', N) -> how likely a random seed of the first beats one of the second, mean over tasks; ties count half.

    rliable's definition (arXiv:2108.13264): the Mann-Whitney statistic over S * S' pairs, task by task. NaN with a hole.
    """
    if np.isnan(scores).any() or np.isnan(others).any():
        return math.nan
    mine, theirs = scores[:, None, :], others[None, :, :]
    wins = np.where(tied(mine, theirs), 0.5, mine > theirs)
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
