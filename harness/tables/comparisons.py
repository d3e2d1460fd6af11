"""Objectives set against each other at one iteration each, on the same items: comparisons.csv.

Everything compared has the same items (their hashes are compared) and the same seeds; a seed that one of the two has not finished
is left out of that comparison, whose `seeds` says how many are in it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness import stats
from harness.comparison import Tasks, difference, holm, mcnemar
from harness.facts import Frame
from harness.records import INITIAL, INITIAL_ITERATION
from harness.tables.players import Arena, Player

COLUMNS = ["panel", "question", "a", "iteration_a", "b", "iteration_b", "task", "difference", "low", "high", "p", "p_holm",
           "mcnemar_p", "mcnemar_p_holm", "probability_of_improvement", "seeds", "items", "redrawn", "draws",
           "source"]  # fmt: skip
MEAN = "mean"


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
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(arena: Arena, panel: str, pairs: Sequence[tuple[str, Player, Player]]) -> list[dict[str, Any]]:
    """Rows per pair: the mean over tasks (its p adjusted over the panel's pairs), then every task (adjusted over tasks)."""
    found = [rows for question, a, b in pairs if (rows := _pair(arena, panel, question, a, b))]
    for rows, adjusted in zip(found, holm([rows[0]["p"] for rows in found]), strict=True):
        rows[0]["p_holm"] = adjusted
    return [row for rows in found for row in rows]


def _pair(arena: Arena, panel: str, question: str, a: Player, b: Player) -> list[dict[str, Any]]:
    facts = arena.facts
    seeds = [s for s in facts.record["seeds"] if arena.finished(a, s) and arena.finished(b, s)]
    if not seeds:
        return []
    mine, other = arena.redrawn(a, seeds), arena.redrawn(b, seeds)
    if mine is None or other is None:
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
    whole = difference(mine, other)
    rows = [
        {
            **common,
            "task": MEAN,
            "difference": whole.value,
            "low": whole.low,
            "high": whole.high,
            "p": whole.p,
            "items": whole.items,
            "draws": whole.draws,
            "probability_of_improvement": stats.probability_of_improvement(_per_seed(mine.values), _per_seed(other.values))
            if len(seeds) > 1 and b.objective != INITIAL
            else None,
        }
    ]
    for number, task in enumerate(facts.suite["task"]):
        one = difference(mine.task(number), other.task(number))
        rows.append(
            {
                **common,
                "task": task["name"],
                "difference": one.value,
                "low": one.low,
                "high": one.high,
                "p": one.p,
                "mcnemar_p": mcnemar(mine.values[number], other.values[number]),
                "items": one.items,
                "draws": one.draws,
            }
        )
    for row, adjusted in zip(rows[1:], holm([row["mcnemar_p"] for row in rows[1:]]), strict=True):
        row["mcnemar_p_holm"] = adjusted
    return rows


def _per_seed(tasks: Tasks) -> np.ndarray:
    """(S, N) scores."""
    return np.stack([t.mean(axis=1) for t in tasks], axis=1)
