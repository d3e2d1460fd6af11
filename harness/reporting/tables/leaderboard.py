"""Scores of a run -> the leaderboard: every task, objective and iteration, means with their errors.

A row that misses a task has no mean; what was not evaluated is empty. Two versions of a suite never enter one average. A task's
column is in the task's own unit; means over tasks are over the rows in the mean, as shares (see analysis/score_scale.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers
from harness.analysis.stability import stability
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.tables.mean_errors import item_stderr, mean_interval
from harness.reporting.tables.paired_scores import ModelKey, PairedScores

MEAN_COLUMNS = ("mean", "item_stderr", "seed_sd", "mean_low", "mean_high", "normalised_mean", "interquartile_mean")


def score_array(results: RunResults, objective: str, column: str = "value") -> np.ndarray:
    """(S, N, T): a column over seeds, tasks and iterations 0..T-1; NaN where missing. UserError for two suite versions."""
    rows = select(results.scores, objective=objective)
    suites = sorted(rows["suite"].unique())
    if len(suites) > 1:
        raise UserError(f"{results.root}: scores of {' and '.join(suites)} cannot enter one average; name one suite")
    seeds = results.record["seeds"] if objective != INITIAL else [None]
    tasks = [row["name"] for row in results.suite["task"]]
    iterations = range(results.record["iterations"]) if objective != INITIAL else [-1]
    rows = rows.dropna(subset=column)
    places = zip(rows["seed"], rows["task"], rows["iteration"], strict=True)
    keys = ((None if pd.isna(seed) else int(seed), task, int(iteration)) for seed, task, iteration in places)
    score_by_key = dict(zip(keys, rows[column].astype(float), strict=True))
    return np.array([[[score_by_key.get((s, task, t), np.nan) for t in iterations] for task in tasks] for s in seeds])


def unit_score_array(results: RunResults, objective: str, errors: bool = False) -> np.ndarray:
    """(S, N, T) of the rows that enter the mean, as shares of 1, or with `errors` the standard errors of these. N may be 0."""
    values = score_array(results, objective, "stderr" if errors else "value")
    scales = enumerate(results.scales[row["name"]] for row in results.suite["task"])
    by_task = [(s.stderr_to_unit if errors else s.to_unit)(values[:, i]) for i, s in scales if s.in_mean]
    return np.stack(by_task, axis=1) if by_task else values[:, :0]


def mean_curves(results: RunResults, objective: str) -> np.ndarray:
    """(S, T) means over the averaged tasks; NaN where one is missing, and everywhere for a suite without such tasks."""
    shares = unit_score_array(results, objective)
    return stats.task_mean(shares) if shares.shape[1] else np.full((shares.shape[0], shares.shape[2]), np.nan)


def leaderboard(results: RunResults, paired_scores: PairedScores | None = None) -> Frame:
    """One row per objective and iteration: tasks averaged over finished seeds, the plain mean of the averaged ones, errors and n.

    A seed that misses a task has no mean there and is left out of that row alone, whose `seeds` is the number included.
    `item_stderr` is the error of sampling test items; `seed_sd` the standard deviation over seeds, empty for one seed. `mean_low`
    and `mean_high` are the 95 % interval of the mean over items and seeds (the two variances added up), from three seeds and five
    items a task on.
    """
    tasks = [row["name"] for row in results.suite["task"]]
    paired_scores = paired_scores or PairedScores(results)
    has_mean = bool(results.averaged_tasks)
    rows = []
    for objective in [INITIAL, *results.variants]:
        values, shares = score_array(results, objective), unit_score_array(results, objective)
        curves = mean_curves(results, objective)
        curve = _mean_over_seeds(curves)
        best = stability(curve[~np.isnan(curve)]) if objective != INITIAL else None
        for column, t in enumerate([-1] if objective == INITIAL else range(values.shape[2])):
            is_complete = ~np.isnan(shares[:, :, column]).any(axis=1) if has_mean else ~np.isnan(values[:, :, column]).all(axis=1)
            seeds = [s for s, complete in zip(results.record["seeds"], np.atleast_1d(is_complete), strict=False) if complete]
            row = {"objective": objective, "iteration": t, "seeds": len(seeds) if objective != INITIAL else pd.NA}
            row |= {task: values[is_complete, i, column].mean() if seeds else np.nan for i, task in enumerate(tasks)}
            row |= dict.fromkeys(MEAN_COLUMNS, np.nan)
            if has_mean and seeds:
                model, means = ModelKey(objective, t), curves[is_complete, column]
                row |= _mean_columns(paired_scores, model, seeds, means, shares[is_complete][:, :, column])
            rows.append(row | {"best": best is not None and t == best.best_iteration, "source": "scores.csv"})
    return with_integers(pd.DataFrame(rows), "seeds")


def _mean_columns(
    paired_scores: PairedScores, model: ModelKey, seeds: Sequence[int], means: np.ndarray, shares: np.ndarray
) -> dict[str, float]:
    """means: (S,) of these seeds; shares: (S, N) of the averaged tasks."""
    results = paired_scores.results
    averaged = results.averaged_tasks
    chances = [results.scales[row["name"]].to_unit(row["chance"]) for row in averaged]
    normalised = [stats.chance_normalised(shares[:, i].mean(), chance) for i, chance in enumerate(chances)]
    columns = {"mean": means.mean(), "item_stderr": item_stderr(paired_scores, model, seeds)}
    columns["normalised_mean"] = np.mean(normalised)
    if model.objective != INITIAL:
        interval = mean_interval(paired_scores, model, seeds, [row["name"] for row in averaged], means)
        columns |= {"seed_sd": stats.seed_std(means)} | dict(zip(("mean_low", "mean_high"), interval or (), strict=False))
    return columns | {"interquartile_mean": stats.interquartile_mean(shares)}


def _mean_over_seeds(curves: np.ndarray) -> np.ndarray:
    """(S, T) -> (T,) mean over the seeds that have the point; NaN where none has."""
    return np.array([c[~np.isnan(c)].mean() if (~np.isnan(c)).any() else np.nan for c in curves.T])
