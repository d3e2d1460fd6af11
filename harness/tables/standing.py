"""Who stands where at the end of a run, and how sure that is: standing.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.comparison import chance_of_being_best
from harness.facts import Frame
from harness.records import INITIAL
from harness.tables.comparisons import MEAN
from harness.tables.players import Arena, Player


def standing_table(arena: Arena, board: Frame, curves: Frame, compared: Frame) -> Frame:
    """One row per panel and objective: best and last iteration with intervals, drop, and how sure it is to be the best.

    `chance_best`: share of redraws (items, and seeds where there are several) in which it has the highest mean at the last
    iteration. `behind_leader_p_holm`: adjusted p of the difference to the panel's leader at the last iteration, empty for itself.
    """
    facts = arena.facts
    last = facts.record["iterations"] - 1
    rows = []
    for panel in facts.panels:
        chances = chances_of(arena, panel["labels"], last)
        ends = board[(board["iteration"] == last) & board["mean"].notna() & board["objective"].isin(panel["labels"])]
        leader = ends.loc[ends["mean"].idxmax(), "objective"] if len(ends) else None
        for label in panel["labels"]:
            mine = board[board["objective"] == label].set_index("iteration")
            best = mine[mine["best"]]
            row: dict[str, Any] = {"panel": panel["title"], "objective": label, "seeds": 0}
            if len(best):
                top, end = best.iloc[0], mine.loc[last]
                row |= {"seeds": int(end["seeds"]) if not pd.isna(end["seeds"]) else 0, "best_iteration": int(best.index[0])}
                for name, of in (("best", top), ("last", end)):
                    row |= {
                        name: of["mean"],
                        f"{name}_low": of["mean_low"],
                        f"{name}_high": of["mean_high"],
                        f"{name}_item_stderr": of["item_stderr"],
                    }
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
            behind = _of(compared, panel["title"], label, leader) if leader not in (None, label) else None
            row |= {
                "leader": label == leader,
                "behind_leader_p_holm": behind["p_holm"] if behind is not None else None,
                "chance_best": chances.get(label),
                "source": "tables/leaderboard.csv, tables/stability.csv, tables/comparisons.csv",
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _of(compared: Frame, panel: str, label: str, other: str) -> dict[str, Any] | None:
    rows = compared[(compared["panel"] == panel) & (compared["task"] == MEAN)]
    either = rows[((rows["a"] == label) & (rows["b"] == other)) | ((rows["a"] == other) & (rows["b"] == label))]
    return either.iloc[0].to_dict() if len(either) else None


def chances_of(arena: Arena, labels: Sequence[str], iteration: int) -> dict[str, float]:
    """Label -> chance of being the panel's best; empty unless every objective has finished the same seeds (no one is judged on
    fewer)."""
    seeds = arena.facts.record["seeds"]
    players = [Player(label, iteration) for label in labels]
    if len(players) < 2 or not all(arena.finished(player, seed) for player in players for seed in seeds):
        return {}
    redrawn = [one for player in players if (one := arena.redrawn(player, seeds)) is not None]
    if len(redrawn) < len(players):
        return {}
    return {label: float(c) for label, c in zip(labels, chance_of_being_best(redrawn), strict=True)}
