"""Errors and intervals of means: Student's t, variances summed with Satterthwaite's degrees of freedom, aggregates over seeds.

Legend: S seeds, N tasks, T points in time. numpy and scipy; independent of tasks, and without random numbers: equal numbers give
equal intervals. The coverage of the intervals is simulated in tests/bench/coverage.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy.special
import scipy.stats

MIN_SEEDS_FOR_INTERVAL = 3
CONFIDENCE_LEVEL = 0.95
SIGNIFICANCE_LEVEL = 0.05  # of a p that Holm has corrected
TIE_RTOL = 1e-9  # relative; far below one answer of any suite, far above the rounding of a sum
VARIANCE_BOUND_QUANTILE = 0.25  # the degrees of freedom of a sum are taken at the variances' upper 75 % bounds
Interval = tuple[float, float]


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of an estimate: its variance, in the square of its unit, and the variance's degrees of freedom."""

    variance: float
    df: float

    @property
    def stderr(self) -> float:
        return math.sqrt(self.variance)

    def scaled(self, factor: float) -> Uncertainty:
        """The uncertainty of the estimate times `factor`."""
        return Uncertainty(factor**2 * self.variance, self.df)


def seed_uncertainty(values: np.ndarray) -> Uncertainty:
    """(S,) one number per seed, S >= 2 -> the uncertainty of their mean: s^2 / S with S - 1 degrees of freedom."""
    return Uncertainty(float(values.var(ddof=1)) / values.size, values.size - 1)


def satterthwaite(variances: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of independent variances: (sum v)^2 / sum(v^2 / df) (Satterthwaite 1946, Biometrics 2:110)."""
    return sum(variances) ** 2 / sum(v**2 / df for v, df in zip(variances, dfs, strict=True))


def sum_uncertainties(terms: Iterable[Uncertainty]) -> Uncertainty:
    """The uncertainty of a sum of independent estimates.

    A variance that is too small by chance has too little weight in Satterthwaite's formula, which then gives too many degrees of
    freedom to the very sum that is too small: with three seeds true nulls are rejected in up to 8 % of cases. So the formula is
    evaluated at every variance's upper 75 % confidence bound, v * df / chi2(0.25, df), which keeps that below 6 %. One term, or
    terms of equal df, have Satterthwaite's own degrees of freedom.
    """
    nonzero = [term for term in terms if term.variance > 0 or math.isnan(term.variance)]
    if not nonzero:
        return Uncertainty(0.0, math.inf)
    dfs = [term.df for term in nonzero]
    upper_bounds = [t.variance * t.df / float(scipy.special.chdtri(t.df, 1 - VARIANCE_BOUND_QUANTILE)) for t in nonzero]
    return Uncertainty(sum(term.variance for term in nonzero), satterthwaite(upper_bounds, dfs))


def interval(value: float, uncertainty: Uncertainty, level: float = CONFIDENCE_LEVEL) -> Interval | None:
    """Student's t interval; None where nothing varies, since the uncertainty cannot be estimated then."""
    if not uncertainty.variance > 0:  # NaN too
        return None
    half_width = float(scipy.special.stdtrit(uncertainty.df, (1 + level) / 2)) * uncertainty.stderr
    return value - half_width, value + half_width


def p_value(value: float, uncertainty: Uncertainty) -> float | None:
    """Two-sided p of Student's t test that the true value is 0; None where nothing varies."""
    return 2 * float(scipy.special.stdtr(uncertainty.df, -abs(value) / uncertainty.stderr)) if uncertainty.variance > 0 else None


def interval_of_mean(values: np.ndarray, level: float = CONFIDENCE_LEVEL) -> Interval | None:
    """(S,) one number per seed -> Student's t interval of their mean, over seeds on the same items.

    None below three seeds, with a missing value, and where all seeds have the same value.
    """
    if values.size < MIN_SEEDS_FOR_INTERVAL or np.isnan(values).any() or tied(values.min(), values.max()):
        return None
    return interval(float(values.mean()), seed_uncertainty(values), level)


def tied(a: float | np.ndarray, b: float | np.ndarray) -> np.ndarray:
    """Whether two numbers are equal but for the rounding of the sums they come from."""
    return np.isclose(a, b, rtol=TIE_RTOL, atol=1e-12)


def task_mean(scores: np.ndarray) -> np.ndarray:
    """(S, N, T) -> (S, T) plain mean over tasks; NaN wherever a task is missing: missing values are never skipped."""
    return scores.mean(axis=1)


def mean_stderr(stderrs: np.ndarray) -> np.ndarray:
    """(..., N) standard errors of tasks -> (...) standard error of their plain mean: sqrt(sum se^2) / N, items independent.

    NaN wherever one is missing.
    """
    return np.sqrt((stderrs**2).sum(axis=-1)) / stderrs.shape[-1]


def interquartile_mean(scores: np.ndarray) -> float:
    """(S, N) -> mean of the middle half of all S * N scores (rliable's IQM, arXiv:2108.13264). NaN with a missing value."""
    return math.nan if np.isnan(scores).any() else float(scipy.stats.trim_mean(scores.ravel(), proportiontocut=0.25))


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> float:
    """(S, N), (S', N) -> probability that a random seed of the first beats one of the second, mean over tasks; ties count half.

    rliable's definition (arXiv:2108.13264): the Mann-Whitney statistic over S * S' pairs, task by task. NaN with a missing value.
    """
    if np.isnan(scores).any() or np.isnan(others).any():
        return math.nan
    first, second = scores[:, None, :], others[None, :, :]
    wins = np.where(tied(first, second), 0.5, first > second)
    return float(wins.mean(axis=(0, 1)).mean())


def minimum_detectable_effect(items: Sequence[int], disagreement: float, level: float = 0.05, power: float = 0.8) -> float:
    """The smallest true difference in the plain mean over tasks that a paired comparison of two models can detect.

    items: number of items per task. disagreement: share of items that one of the two answers correctly and the other does not;
    the difference of one item then has variance of at most `disagreement`. Two-sided z-test; the error of sampling items alone.
    """
    stderr = math.sqrt(sum(disagreement / n for n in items)) / len(items)
    normal = NormalDist()
    return (normal.inv_cdf(1 - level / 2) + normal.inv_cdf(power)) * stderr


def chance_normalised(value: float, chance: float) -> float:
    """A score mapped so that chance is 0 and the maximum 1."""
    return (value - chance) / (1 - chance)


def seed_std(values: np.ndarray) -> float:
    """Standard deviation over seeds (n - 1); NaN for one seed."""
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
