"""Who stands where at the end of a run, and how sure that is: standing.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.comparison import chance_of_being_best, difference
from harness.analysis.facts import Frame
from harness.analysis.stats import LEVEL, Interval, tied
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import ItemErrors, interval_of
from harness.reporting.tables.players import Arena, Player


def standing_table(arena: Arena, board: Frame, curves: Frame, compared: Frame) -> Frame:
    """One row per panel and objective: best and last iteration with intervals, drop, and how sure it is to be the best.

    `best` is picked out of all trained iterations, so its interval is Bonferroni's for that many. `since_best` is the last
    iteration minus that best one, item by item and seed by seed, with Bonferroni's interval and p for having been picked out of
    all earlier iterations; empty where the last iteration is the best one. `chance_best`: how likely it is to have the highest
    mean at the last iteration (see `chance_of_being_best`). Several objectives may share the lead. `behind_leader_p_holm`:
    adjusted p of the difference to the panel's first leader at the last iteration, empty for leaders.
    """
    facts = arena.facts
    last = facts.record["iterations"] - 1
    errors = ItemErrors(arena)
    rows = []
    for panel in facts.panels:
        chances = chances_of(arena, panel["labels"], last)
        ends = board[(board["iteration"] == last) & board["mean"].notna() & board["objective"].isin(panel["labels"])]
        leaders = list(ends.loc[tied(ends["mean"], ends["mean"].max()), "objective"]) if len(ends) else []
        for label in panel["labels"]:
            mine = board[board["objective"] == label].set_index("iteration")
            best = mine[mine["best"]]
            row: dict[str, Any] = {"panel": panel["title"], "objective": label, "seeds": 0}
            if len(best):
                when, end = int(best.index[0]), mine.loc[last]
                row |= {"seeds": int(end["seeds"]) if not pd.isna(end["seeds"]) else 0, "best_iteration": when}
                bounds = _best_interval(errors, label, when) or (None, None)
                row |= _named("best", best.iloc[0]["mean"], *bounds, best.iloc[0]["item_stderr"])
                row |= _named("last", end["mean"], end["mean_low"], end["mean_high"], end["item_stderr"])
                row |= _since(arena, label, when, last)
            for name in ("drop", "largest_fall", "falls", "area_lost", "churn"):
                value = curves[(curves["objective"] == label) & curves["seed"].isna() & (curves["name"] == name)]
                if len(value):
                    row |= {
                        name: value["value"].iloc[0],
                        f"{name}_low": value["low"].iloc[0],
                        f"{name}_high": value["high"].iloc[0],
                    }
            gain = _of(compared, panel["title"], label, INITIAL)
            if gain is not None:
                row |= {
                    "gain": gain["difference"],
                    "gain_low": gain["low"],
                    "gain_high": gain["high"],
                    "gain_p_holm": gain["p_holm"],
                }
            behind = _of(compared, panel["title"], label, leaders[0]) if leaders and label not in leaders else None
            row |= {
                "leader": label in leaders,
                "behind_leader_p_holm": behind["p_holm"] if behind is not None else None,
                "chance_best": chances.get(label),
                "source": "tables/leaderboard.csv, tables/stability.csv, tables/comparisons.csv",
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _named(name: str, value: float, low: float | None, high: float | None, stderr: float) -> dict[str, Any]:
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_item_stderr": stderr}


def _best_interval(errors: ItemErrors, label: str, when: int) -> Interval | None:
    """Of the mean at the best iteration, at a level that is right for every iteration at once."""
    facts = errors.facts
    means = mean_curves(facts, label)[:, when]
    seeds = [seed for seed, mean in zip(facts.record["seeds"], means, strict=True) if not np.isnan(mean)]
    level = 1 - (1 - LEVEL) / facts.record["iterations"]
    return interval_of(errors, Player(label, when), seeds, [r["name"] for r in facts.counted], means[~np.isnan(means)], level)


def _since(arena: Arena, label: str, when: int, last: int) -> dict[str, Any]:
    """The last iteration minus the best one, where that is an earlier one, over the seeds that have finished both."""
    before, after = Player(label, when), Player(label, last)
    seeds = [s for s in arena.facts.record["seeds"] if arena.finished(before, s) and arena.finished(after, s)]
    if when == last or not seeds:
        return {}
    mine, other = arena.answered(after, seeds), arena.answered(before, seeds)
    if mine is None or other is None:
        return {}
    found = difference(mine, other, looks=last)
    return {"since_best": found.value, "since_best_low": found.low, "since_best_high": found.high, "since_best_p": found.p}


def _of(compared: Frame, panel: str, label: str, other: str) -> dict[str, Any] | None:
    rows = compared[(compared["panel"] == panel) & (compared["task"] == MEAN)]
    either = rows[((rows["a"] == label) & (rows["b"] == other)) | ((rows["a"] == other) & (rows["b"] == label))]
    return either.iloc[0].to_dict() if len(either) else None


def chances_of(arena: Arena, labels: Sequence[str], iteration: int) -> dict[str, float]:
    """Label -> chance of being the panel's best; empty unless every objective has finished the same seeds (no one is judged on
    fewer), and below five items a task."""
    seeds = arena.facts.record["seeds"]
    players = [Player(label, iteration) for label in labels]
    if len(players) < 2 or not all(arena.finished(player, seed) for player in players for seed in seeds):
        return {}
    answered = [one for player in players if (one := arena.answered(player, seeds)) is not None]
    if len(answered) < len(players) or (chances := chance_of_being_best(answered)) is None:
        return {}
    return {label: float(c) for label, c in zip(labels, chances, strict=True)}
