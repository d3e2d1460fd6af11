"""Objectives set against each other at one iteration each, on the same items: comparisons.csv.

Everything compared has the same items (their hashes are compared) and the same seeds; a seed that one of the two has not finished
is left out of that comparison, whose `seeds` says how many are in it. The mean is compared in shares of 1, every task in its own
unit; a row that is not made of items is never paired: its numbers are empty, and so are the mean's where it enters the mean.
Below five items (clusters of items) a task there is a difference, and no interval and no p.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.analysis import stats
from harness.analysis.comparison import ITEMS, Answered, difference, holm, mcnemar
from harness.analysis.facts import Facts, Frame
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import score_array
from harness.reporting.tables.players import Arena, Player

COLUMNS = ["panel", "question", "a", "iteration_a", "b", "iteration_b", "task", "difference", "low", "high", "p", "p_holm",
           "mcnemar_p", "mcnemar_p_holm", "probability_of_improvement", "seeds", "items", "clusters", "over",
           "source"]  # fmt: skip
MEAN = "mean"


def by_bootstrap(table: Frame) -> bool:
    """Whether a kept comparisons.csv has the intervals and p-values of an earlier version, too narrow with few seeds."""
    return "redrawn" in table


def as_now(table: Frame) -> Frame:
    """A kept comparisons.csv under today's columns; what it did not have is empty."""
    if by_bootstrap(table):
        table = table.rename(columns={"redrawn": "over"})
    table = table.reindex(columns=COLUMNS).fillna({"panel": "", "question": ""})
    for column in ("items", "clusters"):
        table[column] = table[column].astype("Int64")
    return table


def comparisons_table(arena: Arena) -> Frame:
    """Every pair of a panel at the last iteration, each against the initial policy, and the study's own contrasts."""
    facts = arena.facts
    rows: list[dict[str, Any]] = []
    last = facts.record["iterations"] - 1
    start = Player(INITIAL, INITIAL_ITERATION)
    for panel in facts.panels:
        ends = [Player(label, last) for label in panel["labels"]]
        pairs = [*itertools.combinations(ends, 2), *((end, start) for end in ends)]
        rows += _compared(arena, panel["title"], [("", a, b) for a, b in pairs])
    wanted = [(c["question"], Player(*c["a"]), Player(*c["b"])) for c in facts.study.get("contrasts", [])]
    rows += _compared(arena, "study", wanted)
    table: Frame = pd.DataFrame(rows, columns=COLUMNS)
    for column in COLUMNS[COLUMNS.index("difference") : COLUMNS.index("seeds")]:
        table[column] = table[column].astype(float)
    for column in ("items", "clusters"):
        table[column] = table[column].astype("Int64")
    return table


def _compared(arena: Arena, panel: str, pairs: Sequence[tuple[str, Player, Player]]) -> list[dict[str, Any]]:
    """Rows per pair: the mean over tasks (its p adjusted over the panel's pairs), then every task (over tasks)."""
    found = [rows for question, a, b in pairs if (rows := _pair(arena, panel, question, a, b))]
    for rows, adjusted in zip(found, holm([rows[0]["p"] for rows in found]), strict=True):
        rows[0]["p_holm"] = adjusted
    return [row for rows in found for row in rows]


def _pair(arena: Arena, panel: str, question: str, a: Player, b: Player) -> list[dict[str, Any]]:
    facts = arena.facts
    seeds = [s for s in facts.record["seeds"] if arena.finished(a, s) and arena.finished(b, s)]
    if not seeds:
        return []
    common = {
        "panel": panel,
        "question": question,
        "a": a.objective,
        "iteration_a": a.iteration,
        "b": b.objective,
        "iteration_b": b.iteration,
        "seeds": len(seeds),
    }
    improved = len(seeds) > 1 and b.objective != INITIAL
    mine, other = arena.answered(a, seeds), arena.answered(b, seeds)
    rows = [{**common, "task": MEAN, **_numbers(mine, other)}]
    if improved and mine is not None and other is not None:
        rows[0]["probability_of_improvement"] = stats.probability_of_improvement(mine.per_seed, other.per_seed)
    for task in facts.suite["task"]:
        mine, other = arena.row(a, seeds, task["name"]), arena.row(b, seeds, task["name"])
        row = {**common, "task": task["name"], **_numbers(mine, other)}
        if mine is not None and other is not None and _countable(mine):
            row["mcnemar_p"] = mcnemar(mine.values[0], other.values[0], mine.layouts[0])
        if improved and not facts.scales[task["name"]].counted:
            row["probability_of_improvement"] = _improved(facts, a, b, seeds, task["name"])
        rows.append(row)
    for name in ("p", "mcnemar_p"):
        for row, adjusted in zip(rows[1:], holm([row.get(name) for row in rows[1:]]), strict=True):
            row[f"{name}_holm"] = adjusted
    return rows


def _countable(mine: Answered) -> bool:
    """Whether McNemar's test says of a row what the row's p says: of items alone, with items enough and all of one weight.

    Where seeds count as well it would take these seeds as given, and reject too often for others.
    """
    return mine.over == ITEMS and mine.enough and len(mine.layouts[0].parts) == 1


def _numbers(mine: Answered | None, other: Answered | None) -> dict[str, Any]:
    """The difference and how sure it is; nothing but where that is said for what is not made of items."""
    if mine is None or other is None:
        return {"p": None, "source": "none: not made of items that could be paired"}
    found = difference(mine, other)
    return {
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "items": found.items,
        "clusters": found.clusters,
        "over": found.over,
        "source": "items.json of both",
    }


def _improved(facts: Facts, a: Player, b: Player, seeds: Sequence[int], task: str) -> float:
    """How likely a random seed of a is better than one of b in one row, in the row's direction; NaN with a hole."""
    number = [row["name"] for row in facts.suite["task"]].index(task)
    sign = 1 if facts.scales[task].higher else -1
    chosen = [facts.record["seeds"].index(seed) for seed in seeds]
    mine, other = (sign * score_array(facts, p.objective)[chosen][:, [number], p.iteration] for p in (a, b))
    return stats.probability_of_improvement(mine, other)
