"""Objectives set against each other at one iteration each, on the same items: comparisons.csv and standing.csv.

Everything compared has the same items (their hashes are compared) and the same seeds; a seed that one of the two has not finished
is left out of that comparison, whose `seeds` says how many are in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from harness import stats
from harness.comparison import Redraws, Tasks, chance_of_being_best, difference, holm, mcnemar
from harness.errors import UserError
from harness.facts import Facts, Frame
from harness.records import INITIAL, INITIAL_ITERATION

COLUMNS = ["panel", "question", "a", "iteration_a", "b", "iteration_b", "task", "difference", "low", "high", "p", "p_holm",
           "mcnemar_p", "mcnemar_p_holm", "probability_of_improvement", "seeds", "items", "redrawn", "source"]  # fmt: skip
MEAN = "mean"


@dataclass(frozen=True)
class Player:
    """One side of a comparison: an objective after an iteration (the initial policy: -1)."""

    objective: str
    iteration: int


def comparisons_table(facts: Facts) -> Frame:
    """Every pair of a panel at the last iteration, each against the initial policy, and the study's own contrasts."""
    rows: list[dict[str, Any]] = []
    last = facts.record["iterations"] - 1
    start = Player(INITIAL, INITIAL_ITERATION)
    for panel in facts.panels:
        ends = [Player(label, last) for label in panel["labels"]]
        pairs = [*itertools.combinations(ends, 2), *((end, start) for end in ends)]
        rows += _compared(facts, panel["title"], [("", a, b) for a, b in pairs])
    wanted = [(c["question"], Player(*c["a"]), Player(*c["b"])) for c in facts.study.get("contrasts", [])]
    rows += _compared(facts, "study", wanted)
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(facts: Facts, panel: str, pairs: Sequence[tuple[str, Player, Player]]) -> list[dict[str, Any]]:
    """Rows per pair: the mean over tasks (its p adjusted over the panel's pairs), then every task (adjusted over tasks)."""
    found = [rows for question, a, b in pairs if (rows := _pair(facts, panel, question, a, b))]
    for rows, adjusted in zip(found, holm([rows[0]["p"] for rows in found]), strict=True):
        rows[0]["p_holm"] = adjusted
    return [row for rows in found for row in rows]


def _pair(facts: Facts, panel: str, question: str, a: Player, b: Player) -> list[dict[str, Any]]:
    seeds = [s for s in facts.record["seeds"] if _finished(facts, a, s) and _finished(facts, b, s)]
    if not seeds:
        return []
    ours, theirs = values_of(facts, a, seeds), values_of(facts, b, seeds)
    names = [t["name"] for t in facts.suite["task"] if t["name"] in ours and t["name"] in theirs]
    if len(names) < len(facts.suite["task"]):
        return []  # a mean over some of the tasks is not the leaderboard's mean
    common = {
        "panel": panel,
        "question": question,
        "a": a.objective,
        "iteration_a": a.iteration,
        "b": b.objective,
        "iteration_b": b.iteration,
        "seeds": len(seeds),
        "redrawn": "items and seeds" if len(seeds) > 1 else "items",
        "source": "items.json of both",
    }
    x, y = [ours[n] for n in names], [theirs[n] for n in names]
    whole = difference(x, y, redraws_for(x))
    rows = [
        {
            **common,
            "task": MEAN,
            "difference": whole.value,
            "low": whole.low,
            "high": whole.high,
            "p": whole.p,
            "items": whole.items,
            "probability_of_improvement": stats.probability_of_improvement(_per_seed(x), _per_seed(y))
            if len(seeds) > 1 and b.objective != INITIAL
            else None,
        }
    ]
    for name, mine, other in zip(names, x, y, strict=True):
        one = difference([mine], [other], redraws_for([mine]))
        rows.append(
            {
                **common,
                "task": name,
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "p": one.p,
                "mcnemar_p": mcnemar(mine, other),
                "items": one.items,
            }
        )
    for row, adjusted in zip(rows[1:], holm([row["mcnemar_p"] for row in rows[1:]]), strict=True):
        row["mcnemar_p_holm"] = adjusted
    return rows


_drawn: dict[tuple[int, ...], Redraws] = {}


def redraws_for(tasks: Tasks) -> Redraws:
    """The same redraws for everything of one shape, from a fixed seed: differences of differences are paired too."""
    shape = (tasks[0].shape[0], *(t.shape[1] for t in tasks))
    if shape not in _drawn:
        _drawn[shape] = Redraws(shape[0], shape[1:], np.random.default_rng(0))
    return _drawn[shape]


def _per_seed(tasks: Tasks) -> np.ndarray:
    """(S, N) scores."""
    return np.stack([t.mean(axis=1) for t in tasks], axis=1)


def _finished(facts: Facts, player: Player, seed: int) -> bool:
    return (player.objective, None if player.objective == INITIAL else seed, player.iteration) in facts.items


def values_of(facts: Facts, player: Player, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Task -> (S, I) item values, without tasks that are not made of items. The initial policy is the same in every seed.

    Raises UserError when an item was asked differently than of the initial policy, for such players cannot be paired, or when one
    has no number.
    """
    asked = facts.items.get((INITIAL, None, INITIAL_ITERATION))
    found: dict[str, np.ndarray] = {}
    for task in facts.suite["task"]:
        mine = [
            facts.items[player.objective, None if player.objective == INITIAL else seed, player.iteration][task["name"]]
            for seed in seeds
        ]
        if len({m["items"] for m in mine} | ({asked[task["name"]]["items"]} if asked else set())) > 1:
            raise UserError(
                f"{facts.root}: {task['name']} was asked with unequal items of {player.objective} and the initial policy; "
                "evaluate both on the same suite version"
            )
        if all(m["values"] is not None for m in mine):
            try:
                values = np.array([m["values"] for m in mine], dtype=float)
            except (TypeError, ValueError):
                values = np.array([np.nan])
            if np.isnan(values).any():
                raise UserError(
                    f"{facts.root}: items.json of {player.objective}, iteration {player.iteration}: {task['name']} has an item "
                    "without a number; delete that evaluation's folder and repeat the run's command"
                )
            found[task["name"]] = values
    return found


# ---------------------------------------------------------------- who stands where


def standing_table(facts: Facts, board: Frame, curves: Frame, compared: Frame) -> Frame:
    """One row per panel and objective: best and last iteration with intervals, drop, and how sure it is to be the best.

    `chance_best`: share of redraws (items, and seeds where there are several) in which it has the highest mean at the last
    iteration. `behind_leader_p_holm`: adjusted p of the difference to the panel's leader at the last iteration, empty for itself.
    """
    last = facts.record["iterations"] - 1
    rows = []
    for panel in facts.panels:
        chances = chances_of(facts, panel["labels"], last)
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


def chances_of(facts: Facts, labels: Sequence[str], iteration: int) -> dict[str, float]:
    """Label -> chance of being the panel's best; empty unless every objective has finished the same seeds (no one is judged on
    fewer)."""
    seeds = facts.record["seeds"]
    players = [Player(label, iteration) for label in labels]
    if len(players) < 2 or not all(_finished(facts, player, seed) for player in players for seed in seeds):
        return {}
    tasks = [list(values_of(facts, player, seeds).values()) for player in players]
    if any(len(t) < len(facts.suite["task"]) for t in tasks):
        return {}
    chances = chance_of_being_best(tasks, redraws_for(tasks[0]))
    return {label: float(c) for label, c in zip(labels, chances, strict=True)}
