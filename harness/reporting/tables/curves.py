"""Statistics of the curves: stability per objective and seed, and drift per iteration, with intervals from three seeds on.

Statistics of a seed's curve (its best value, drop, falls) have intervals over seeds, on these items; `last` is the leaderboard's
mean and has its interval, over items and seeds. Both tables are long: one row per number. A seed with an incomplete curve is left
out of the row over seeds, whose `seeds` is the number included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.comparison import OVER_ITEMS_AND_SEEDS
from harness.analysis.facts import RunResults
from harness.analysis.frames import KEY_COLUMNS, Frame, make_frame, select
from harness.analysis.stability import flip_rate, stability
from harness.errors import UserError
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import mean_curves, score_array
from harness.reporting.tables.mean_errors import item_terms, mean_interval
from harness.reporting.tables.paired_scores import ModelKey, PairedScores

STABILITY_COLUMNS = ["objective", "seed", "iterations", "name", "value", "low", "high", "over", "seeds", "unit", "source"]
DRIFT_COLUMNS = ["objective", "iteration", "name", "value", "low", "high", "stderr", "seeds", "n", "unit", "source"]
NON_NEGATIVE = ("drop", "largest_fall", "falls", "area_lost", "churn")
SIGNED = ("reward_margin",)  # of the measurements; all others are 0 or more
UNITS = {"best_iteration": "iteration", "falls": "iterations", "churn": "share of items"}


def stability_table(results: RunResults, paired_scores: PairedScores | None = None) -> Frame:
    """Per variant: a row per seed and number, then a row over seeds (seed empty) with its interval from three seeds on.

    A seed's curve ends at its first missing point; only seeds with every iteration enter the row over seeds.
    """
    paired_scores = paired_scores or PairedScores(results)
    names = [row["name"] for row in results.averaged_tasks]
    curves = ((objective, mean_curves(results, objective)) for objective in results.variants)
    return make_frame([row for o, curve in curves for row in _stability_rows(paired_scores, o, curve, names)], STABILITY_COLUMNS)


def unaveraged_table(results: RunResults, paired_scores: PairedScores | None = None) -> Frame:
    """The same for every row that is not in the mean, in the row's own unit and direction: drop, largest_fall and area_lost are
    what was lost, a fall or, where lower is better, a rise."""
    paired_scores = paired_scores or PairedScores(results)
    rows = []
    for column, task in enumerate(results.suite["task"]):
        scale = results.scales[task["name"]]
        if not scale.in_mean:
            for objective in results.variants:
                curves = score_array(results, objective)[:, column]
                key = {"task": task["name"], "higher_is_better": scale.higher_is_better}
                numbers = _stability_rows(paired_scores, objective, curves, [task["name"]], str(task["metric"]))
                rows += [key | row for row in numbers]
    return make_frame(rows, ["task", "higher_is_better", *STABILITY_COLUMNS])


def _stability_rows(
    paired_scores: PairedScores, objective: str, curves: np.ndarray, names: Sequence[str], metric: str | None = None
) -> Iterator[dict[str, Any]]:
    """Of one variant's curves (S, T): a row per seed and number, then a row over seeds. names: the rows of the suite that the
    curves are the mean of; metric: of the one row that is not in the mean, or None for the mean over tasks."""
    results = paired_scores.results
    num_iterations = results.record["iterations"]
    higher_is_better = metric is None or results.scales[names[0]].higher_is_better
    values_by_name: dict[str, list[float]] = {}
    finished_seeds: list[int] = []

    def make_row(seed: int | None, iterations: int, name: str, value: float, seeds: int = 1) -> dict[str, Any]:
        source = "items.json of every iteration" if name == "churn" else "scores.csv"
        unit = UNITS.get(name, metric or "score")
        cells = (objective, seed, iterations, name, value, None, None, None, seeds, unit, source)
        return dict(zip(STABILITY_COLUMNS, cells, strict=True))

    for seed, curve in zip(results.record["seeds"], curves, strict=True):
        missing = np.flatnonzero(np.isnan(curve))
        finished_curve = curve[: missing[0]] if missing.size else curve
        length = len(finished_curve)
        summary = stability(finished_curve, higher_is_better)
        if summary is None:
            continue
        finished_seeds += [seed] if length == num_iterations else []
        numbers = {name: float(value) for name, value in vars(summary).items()}
        for name, value in (numbers | ({} if metric else mean_churn(results, objective, seed, length))).items():
            yield make_row(seed, length, name, value)
            if length == num_iterations:
                values_by_name.setdefault(name, []).append(value)
    last = ModelKey(objective, num_iterations - 1)
    has_enough_items = not values_by_name or item_terms(paired_scores, last, finished_seeds, names)[1]
    for name, values in values_by_name.items():
        row = make_row(None, num_iterations, name, float(np.mean(values)), len(values))
        if name == "last":
            interval, over = mean_interval(paired_scores, last, finished_seeds, names, np.array(values)), OVER_ITEMS_AND_SEEDS
        else:
            interval, over = stats.interval_of_mean(np.array(values)) if has_enough_items else None, "seeds"
        if interval:  # cutting off impossible values keeps its coverage
            low = max(interval[0], 0.0) if name in NON_NEGATIVE else interval[0]
            row |= {"low": low, "high": interval[1], "over": over}
        yield row


def mean_churn(results: RunResults, objective: str, seed: int, iterations: int) -> dict[str, float]:
    """Churn between consecutive trained iterations, mean over them; empty where there is only one."""
    if results.earlier_tables is not None:
        return results.earlier_tables.churn(objective, seed)
    values = [value for t, value in flip_rates(results, objective, seed) if 0 < t < iterations]
    return {"churn": float(np.mean(values))} if values else {}


def flip_rates(results: RunResults, objective: str, seed: int) -> Iterator[tuple[int, float]]:
    """(iteration, share of items that changed since the iteration before, plain mean over the tasks of the mean); 0 compares with
    the initial policy."""
    for t in range(results.record["iterations"]):
        before = results.item_scores.get((objective, seed, t - 1) if t else (INITIAL, None, INITIAL_ITERATION))
        after = results.item_scores.get((objective, seed, t))
        if before is None or after is None:
            continue
        shares = []
        for task in results.averaged_tasks:
            old, new = before[task["name"]], after[task["name"]]
            if old["items"] != new["items"]:
                raise UserError(
                    f"{results.root}: {task['name']} was evaluated on other items at iteration {t} of {objective} than before; "
                    "evaluate both on the same suite version"
                )
            if old["values"] is not None and new["values"] is not None:
                shares.append(flip_rate(np.array(old["values"]), np.array(new["values"])))
        if shares:
            yield t, float(np.mean(shares))


def drift_table(results: RunResults) -> Frame:
    """One row per model and measurement: mean over seeds; an interval over seeds, on the same prompts, from three on; for one
    seed the error over prompts."""
    measurements: Frame = results.dynamics
    churn_rows = [
        {**dict(zip(KEY_COLUMNS, (o, s, t), strict=True)), "name": "churn", "value": value, "stderr": None,
         "n": _num_items(results, o, s, t), "unit": UNITS["churn"], "source": "items.json"}
        for o in results.variants for s in results.record["seeds"] for t, value in flip_rates(results, o, s)
    ]  # fmt: skip
    if churn_rows:
        churn_table = make_frame(churn_rows)
        measurements = pd.concat([measurements, churn_table], ignore_index=True) if len(measurements) else churn_table
    order = {name: i for i, name in enumerate([INITIAL, *results.variants])}
    measurements = select(measurements, objective=list(order))
    rows = []
    for (objective, iteration, name), group in measurements.groupby(["objective", "iteration", "name"], sort=False):
        values, first = group["value"].to_numpy(dtype=float), group.iloc[0]
        low, high = stats.interval_of_mean(values) or (None, None)
        if low is not None and name not in SIGNED and values.mean() >= 0:  # cutting off impossible values keeps its coverage
            low = max(low, 0.0)
        is_single = len(group) == 1
        stderr = float(first["stderr"]) if is_single and not pd.isna(first["stderr"]) else None
        source = first["source"] if is_single else "dynamics.csv"
        numbers = values.mean(), low, high, stderr, len(values), int(first["n"])
        rows.append((objective, iteration, name, *numbers, first["unit"], source))
    rows.sort(key=lambda row: (order[row[0]], row[1]))
    return pd.DataFrame(rows, columns=DRIFT_COLUMNS)


def _num_items(results: RunResults, objective: str, seed: int, iteration: int) -> int:
    tasks = results.item_scores[objective, seed, iteration]
    return sum(len(tasks[row["name"]]["values"] or []) for row in results.averaged_tasks)
