"""What the curves did: stability per objective and seed, and drift per iteration, with intervals from three seeds on.

What a seed's curve did (its best value, drop, falls) is bounded over seeds, on the items that were asked; `last` is the
leaderboard's mean and has its interval, over items and seeds. Both tables are long: one row per number. A seed whose curve has a
hole is left out of the row over seeds, whose n says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.comparison import BOTH
from harness.analysis.facts import Facts, Frame, frame_of
from harness.analysis.stability import Stability, churn, stability
from harness.errors import UserError
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import mean_curves, score_array
from harness.reporting.tables.mean_errors import ItemErrors, interval_of
from harness.reporting.tables.players import Arena, Player

STABILITY = ["objective", "seed", "iterations", "name", "value", "low", "high", "over", "seeds", "unit", "source"]
DRIFT = ["objective", "iteration", "name", "value", "low", "high", "stderr", "seeds", "n", "unit", "source"]
NEVER_NEGATIVE = ("drop", "largest_fall", "falls", "area_lost", "churn")
UNITS = {"best_iteration": "iteration", "falls": "iterations", "churn": "share of items"}


def stability_table(facts: Facts, arena: Arena | None = None) -> Frame:
    """Per variant: a row per seed and number, then a row over seeds (seed empty) with its interval from three seeds on.

    A seed's curve counts up to its first hole; only seeds with every iteration enter the row over seeds.
    """
    errors, names = ItemErrors(arena or Arena(facts)), [row["name"] for row in facts.counted]
    rows = []
    for objective in facts.variants:
        rows += _stability_rows(errors, objective, mean_curves(facts, objective), names)
    return frame_of(rows, STABILITY)


def beside_table(facts: Facts, arena: Arena | None = None) -> Frame:
    """The same for every row that stands beside the mean, in the row's own unit and direction: drop, largest_fall and area_lost
    are what was lost, whether that is a fall or, where lower is better, a rise."""
    errors = ItemErrors(arena or Arena(facts))
    rows = []
    for number, row in enumerate(facts.suite["task"]):
        scale = facts.scales[row["name"]]
        if scale.counted:
            continue
        for objective in facts.variants:
            curves = score_array(facts, objective)[:, number]
            rows += [
                {"task": row["name"], "higher_is_better": scale.higher, **one}
                for one in _stability_rows(errors, objective, curves, [row["name"]], row, scale.higher)
            ]
    return frame_of(rows, ["task", "higher_is_better", *STABILITY])


def _stability_rows(
    errors: ItemErrors,
    objective: str,
    curves: np.ndarray,
    names: Sequence[str],
    task: Mapping[str, Any] | None = None,
    higher_is_better: bool = True,
) -> Iterator[dict[str, Any]]:
    """Of one variant's curves (S, T): a row per seed and number, then a row over seeds. names: the rows of the suite that the
    curves are the mean of; task: the one row that stands beside the mean, or None for the mean over tasks."""
    facts = errors.facts
    planned = facts.record["iterations"]
    unit = str(task["metric"]) if task else "score"
    whole: dict[str, list[float]] = {}
    finished: list[int] = []
    for seed, curve in zip(facts.record["seeds"], curves, strict=True):
        holes = np.flatnonzero(np.isnan(curve))
        played = curve[: holes[0]] if holes.size else curve
        found = stability(played, higher_is_better)
        if found is None:
            continue
        finished += [seed] if len(played) == planned else []
        numbers = numbers_of(found) | ({} if task else mean_churn(facts, objective, seed, len(played)))
        for name, value in numbers.items():
            yield _row(objective, seed, len(played), name, value, None, None, 1, unit)
            if len(played) == planned:
                whole.setdefault(name, []).append(value)
    enough = not whole or errors.of(Player(objective, planned - 1), finished, names)[1]
    for name, values in whole.items():
        if name == "last":
            interval, over = interval_of(errors, Player(objective, planned - 1), finished, names, np.array(values)), BOTH
        else:
            interval, over = stats.interval_of_mean(np.array(values)) if enough else None, "seeds"
            if interval and name in NEVER_NEGATIVE:  # cut to what is possible, it covers as much
                interval = max(interval[0], 0.0), interval[1]
        yield _row(objective, None, planned, name, float(np.mean(values)), interval, over, len(values), unit)


def numbers_of(found: Stability) -> dict[str, float]:
    return {name: float(getattr(found, name)) for name in Stability.__dataclass_fields__}


def _row(
    objective: str,
    seed: int | None,
    iterations: int,
    name: str,
    value: float,
    interval: stats.Interval | None,
    over: str | None,
    seeds: int,
    unit: str,
) -> dict[str, Any]:
    low, high = interval or (None, None)
    over = over if interval else None
    source = "items.json of every iteration" if name == "churn" else "scores.csv"
    unit = UNITS.get(name, unit)
    return dict(zip(STABILITY, (objective, seed, iterations, name, value, low, high, over, seeds, unit, source), strict=True))


def mean_churn(facts: Facts, objective: str, seed: int, iterations: int) -> dict[str, float]:
    """Churn between consecutive trained iterations, mean over them; nothing where there is only one."""
    if facts.earlier is not None:
        return facts.earlier.churn(objective, seed)
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
    """One row per player and measurement: mean over seeds; an interval over seeds, on the same prompts, from three on; for one
    seed the error over prompts."""
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
        interval = stats.interval_of_mean(values)
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
