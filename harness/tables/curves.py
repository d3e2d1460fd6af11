"""What the curves did: stability per objective and seed, and drift per iteration, with intervals over seeds.

Both tables are long: one row per number. A seed whose curve has a hole is left out of the row over seeds, whose n says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from harness import stats
from harness.errors import UserError
from harness.facts import Facts, Frame, frame_of
from harness.records import INITIAL, INITIAL_ITERATION
from harness.stability import Stability, churn, stability
from harness.tables.leaderboard import mean_curves, score_array

STABILITY = ["objective", "seed", "iterations", "name", "value", "low", "high", "seeds", "unit", "source"]
DRIFT = ["objective", "iteration", "name", "value", "low", "high", "stderr", "seeds", "n", "unit", "source"]
UNITS = {"best_iteration": "iteration", "falls": "iterations", "churn": "share of items"}


def stability_table(facts: Facts) -> Frame:
    """Per variant: a row per seed and number, then a row over seeds (seed empty) with its interval from three seeds on.

    A seed's curve counts up to its first hole; only seeds with every iteration enter the row over seeds.
    """
    generator = np.random.default_rng(0)
    rows = []
    for objective in facts.variants:
        rows += _stability_rows(facts, objective, mean_curves(facts, objective), generator)
    return frame_of(rows, STABILITY)


def beside_table(facts: Facts) -> Frame:
    """The same for every row that stands beside the mean, in the row's own unit and direction: drop, largest_fall and area_lost
    are what was lost, whether that is a fall or, where lower is better, a rise."""
    generator = np.random.default_rng(0)
    rows = []
    for number, row in enumerate(facts.suite["task"]):
        scale = facts.scales[row["name"]]
        if scale.counted:
            continue
        for objective in facts.variants:
            curves = score_array(facts, objective)[:, number]
            rows += [
                {"task": row["name"], "higher_is_better": scale.higher, **one}
                for one in _stability_rows(facts, objective, curves, generator, row, scale.higher)
            ]
    return frame_of(rows, ["task", "higher_is_better", *STABILITY])


def _stability_rows(
    facts: Facts,
    objective: str,
    curves: np.ndarray,
    generator: np.random.Generator,
    task: Mapping[str, Any] | None = None,
    higher_is_better: bool = True,
) -> Iterator[dict[str, Any]]:
    """Of one variant's curves (S, T): a row per seed and number, then a row over seeds. task: None for the mean over tasks."""
    planned = facts.record["iterations"]
    unit = str(task["metric"]) if task else "score"
    whole: dict[str, list[float]] = {}
    for seed, curve in zip(facts.record["seeds"], curves, strict=True):
        holes = np.flatnonzero(np.isnan(curve))
        played = curve[: holes[0]] if holes.size else curve
        found = stability(played, higher_is_better)
        if found is None:
            continue
        numbers = numbers_of(found) | ({} if task else mean_churn(facts, objective, seed, len(played)))
        for name, value in numbers.items():
            yield _row(objective, seed, len(played), name, value, None, 1, unit)
            if len(played) == planned:
                whole.setdefault(name, []).append(value)
    for name, values in whole.items():
        interval = stats.interval_of_mean(np.array(values), generator)
        yield _row(objective, None, planned, name, float(np.mean(values)), interval, len(values), unit)


def numbers_of(found: Stability) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in Stability.__dataclass_fields__}


def _row(
    objective: str,
    seed: int | None,
    iterations: int,
    name: str,
    value: float,
    interval: stats.Interval | None,
    seeds: int,
    unit: str,
) -> dict[str, Any]:
    low, high = interval if interval else (None, None)
    source = "items.json of every iteration" if name == "churn" else "scores.csv"
    unit = UNITS.get(name, unit)
    return dict(zip(STABILITY, (objective, seed, iterations, name, value, low, high, seeds, unit, source), strict=True))


def mean_churn(facts: Facts, objective: str, seed: int, iterations: int) -> dict[str, float]:
    """Churn between consecutive trained iterations, mean over them; nothing where there is only one."""
    values = [value for t, value in churns(facts, objective, seed) if 0 < t < iterations]
    return {"churn": float(np.mean(values))} if values else {}


def churns(facts: Facts, objective: str, seed: int) -> Iterator[tuple[int, float]]:
    """(iteration, share of items that changed since the iteration before, plain mean over the tasks of the mean); 0 compares with
    the initial policy.
    """
    for t in range(facts.record["iterations"]):
        before = facts.items.get((objective, seed, t - 1) if t else (INITIAL, None, INITIAL_ITERATION))
        after = facts.items.get((objective, seed, t))
        if before is None or after is None:
            continue
        shares = []
        for task in facts.counted:
            old, new = before[task["name"]], after[task["name"]]
            if old["items"] != new["items"]:
                raise UserError(
                    f"{facts.root}: {task['name']} was asked with other items at iteration {t} of {objective} than before; "
                    "evaluate both on the same suite version"
                )
            if old["values"] is not None and new["values"] is not None:
                shares.append(churn(np.array(old["values"]), np.array(new["values"])))
        if shares:
            yield t, float(np.mean(shares))


def drift_table(facts: Facts) -> Frame:
    """One row per player and measurement: mean over seeds; an interval over seeds from three on, else the error over prompts."""
    generator = np.random.default_rng(0)
    measured: Frame = facts.dynamics
    flips = [
        {"objective": o, "seed": s, "iteration": t, "name": "churn", "value": value, "stderr": None, "n": _asked(facts, o, s, t),
         "unit": UNITS["churn"], "source": "items.json"}
        for o in facts.variants for s in facts.record["seeds"] for t, value in churns(facts, o, s)
    ]  # fmt: skip
    if flips:
        together = frame_of(flips)
        measured = pd.concat([measured, together], ignore_index=True) if len(measured) else together
    order = {name: i for i, name in enumerate([INITIAL, *facts.variants])}
    measured = measured[measured["objective"].isin(list(order))]
    rows = []
    for (objective, iteration, name), mine in measured.groupby(["objective", "iteration", "name"], sort=False):
        values = mine["value"].to_numpy(dtype=float)
        interval = stats.interval_of_mean(values, generator)
        error = float(mine["stderr"].iloc[0]) if len(mine) == 1 and not pd.isna(mine["stderr"].iloc[0]) else None
        low, high = interval if interval else (None, None)
        rows.append(
            (objective, iteration, name, values.mean(), low, high, error, len(values), int(mine["n"].iloc[0]),
             mine["unit"].iloc[0], mine["source"].iloc[0] if len(mine) == 1 else "dynamics.csv")
        )  # fmt: skip
    rows.sort(key=lambda row: (order[row[0]], row[1]))
    return pd.DataFrame(rows, columns=DRIFT)


def _asked(facts: Facts, objective: str, seed: int, iteration: int) -> int:
    tasks = facts.items[objective, seed, iteration]
    return sum(len(tasks[row["name"]]["values"] or []) for row in facts.counted)
