"""Scores of a run -> the leaderboard: every task, objective and iteration, means with their errors.

A row that misses a task has no mean; a cell that was not played is empty. Two versions of a suite never enter one average. A
task's column is in the task's own unit; what is averaged over tasks are shares of the rows that are counted (see row_scale.py).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.facts import Facts, Frame
from harness.analysis.stability import stability
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.tables.mean_errors import ItemErrors, interval_of, item_stderr
from harness.reporting.tables.players import Arena, Player


def score_array(facts: Facts, objective: str, column: str = "value") -> np.ndarray:
    """(S, N, T) of one variant's column over the run's seeds, the suite's tasks and iterations 0..T-1; NaN where missing.

    Raises UserError when the records come from more than one version of the suite.
    """
    rows = facts.scores[facts.scores["objective"] == objective]
    suites = sorted(rows["suite"].unique())
    if len(suites) > 1:
        raise UserError(f"{facts.root}: scores of {' and '.join(suites)} cannot enter one average; name one suite")
    seeds = facts.record["seeds"] if objective != INITIAL else [None]
    tasks = [row["name"] for row in facts.suite["task"]]
    times = range(facts.record["iterations"]) if objective != INITIAL else [-1]
    found = {
        (None if pd.isna(seed) else int(seed), task, int(iteration)): float(value)
        for seed, task, iteration, value in zip(rows["seed"], rows["task"], rows["iteration"], rows[column], strict=True)
        if not pd.isna(value)
    }
    return np.array([[[found.get((s, task, t), np.nan) for t in times] for task in tasks] for s in seeds])


def share_array(facts: Facts, objective: str, errors: bool = False) -> np.ndarray:
    """(S, N, T) of the rows that enter the mean, as shares of 1, or with `errors` the standard errors of these. N may be 0."""
    values = score_array(facts, objective, "stderr" if errors else "value")
    scales = [facts.scales[row["name"]] for row in facts.suite["task"]]
    found = [
        scale.error(values[:, i]) if errors else scale.share(values[:, i]) for i, scale in enumerate(scales) if scale.counted
    ]
    return np.stack(found, axis=1) if found else values[:, :0]


def mean_curves(facts: Facts, objective: str) -> np.ndarray:
    """(S, T) means over the counted tasks; NaN with a hole, and everywhere for a suite without a counted task."""
    shares = share_array(facts, objective)
    return stats.task_mean(shares) if shares.shape[1] else np.full((shares.shape[0], shares.shape[2]), np.nan)


def leaderboard(facts: Facts, arena: Arena | None = None) -> Frame:
    """One row per objective and iteration: tasks averaged over finished seeds, the plain mean of those counted, errors and n.

    A seed that misses a task has no mean there and is left out of that row alone, whose `seeds` says how many are in it.
    `item_stderr` is the error of sampling test items; `seed_sd` the standard deviation over seeds, empty for one seed. `mean_low`
    and `mean_high` bound the mean had other items been asked and other seeds trained (95 %, the two variances added up), from
    three seeds and five items a task on.
    """
    tasks = [row["name"] for row in facts.suite["task"]]
    errors = ItemErrors(arena or Arena(facts))
    counted = [row["name"] for row in facts.counted]
    rows = []
    for objective in [INITIAL, *facts.variants]:
        values, shares = score_array(facts, objective), share_array(facts, objective)
        times = [-1] if objective == INITIAL else range(values.shape[2])
        curves = mean_curves(facts, objective)
        curve = _over_seeds(curves)
        best = stability(curve[~np.isnan(curve)])
        counts = bool(facts.counted)
        for column, t in enumerate(times):
            done = ~np.isnan(shares[:, :, column]).any(axis=1) if counts else ~np.isnan(values[:, :, column]).all(axis=1)
            here, mine = values[done][:, :, column], shares[done][:, :, column]
            means = curves[done][:, column]
            seeds = int(done.sum())
            averaged = counts and seeds > 0
            player = Player(objective, t)
            finished = [s for s, whole in zip(facts.record["seeds"], np.atleast_1d(done), strict=False) if whole]
            interval = interval_of(errors, player, finished, counted, means) if averaged and objective != INITIAL else None
            rows.append(
                {
                    "objective": objective,
                    "iteration": t,
                    "seeds": seeds if objective != INITIAL else pd.NA,
                    **{task: here[:, i].mean() if seeds else np.nan for i, task in enumerate(tasks)},
                    "mean": means.mean() if averaged else np.nan,
                    "item_stderr": item_stderr(errors, player, finished) if averaged else np.nan,
                    "seed_sd": stats.spread(means) if objective != INITIAL else np.nan,
                    "mean_low": interval[0] if interval else np.nan,
                    "mean_high": interval[1] if interval else np.nan,
                    "normalised_mean": np.mean(
                        [
                            stats.normalised(mine[:, i].mean(), facts.scales[row["name"]].share(row["chance"]))
                            for i, row in enumerate(facts.counted)
                        ]
                    )
                    if averaged
                    else np.nan,
                    "interquartile_mean": stats.interquartile_mean(mine) if averaged else np.nan,
                    "best": best is not None and objective != INITIAL and t == best.best_iteration,
                    "source": "scores.csv",
                }
            )
    table: Frame = pd.DataFrame(rows)
    table["seeds"] = table["seeds"].astype("Int64")
    return table


def _over_seeds(curves: np.ndarray) -> np.ndarray:
    """(S, T) -> (T,) mean over the seeds that have the point; NaN where none has."""
    return np.array([c[~np.isnan(c)].mean() if (~np.isnan(c)).any() else np.nan for c in curves.T])
