"""What a run has found, for the screen, by rule from its tables: a row per objective and the first page's sentence.

One seed, or two, is never worded as a result: what differs between seeds is in none of the errors then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.formatting import DASH, brackets, percent, points, with_interval
from harness.reporting.tables.reading import Tables

MAX_KINDS = 3  # of collapse, named in a row; more are counted


@dataclass(frozen=True)
class AnswerRow:
    """One objective: first, best and last mean over tasks in percent with its error of sampling items, the change from the
    initial policy to the last iteration in points with its interval, and what the collapse detector found."""

    objective: str
    first: str
    best: str
    last: str
    change: str
    collapse: str


def answer_rows(tables: Tables, panel: dict[str, Any]) -> list[AnswerRow]:
    """The rows of a panel, the highest last mean first; objectives that are not complete last."""
    ranking = select(tables.ranking, panel=panel["title"])
    if "last" in ranking:
        ranking = ranking.sort_values("last", ascending=False, na_position="last", kind="stable")
    return [_row(tables, row) for row in ranking.to_dict("records")]


def start_cell(tables: Tables) -> str:
    """The initial policy's mean with its error."""
    initial = tables.initial_scores()
    return with_interval(initial["mean"], error=initial["item_stderr"])


def caption(tables: Tables) -> str:
    """Unit, n, errors and origin of the numbers in the rows."""
    pairs = select(tables.comparisons, task=MEAN_TASK, b=INITIAL).dropna(subset="difference")
    num_tasks, seeds = len(tables.results.averaged_tasks), tables.seeds
    counts = ""
    if len(pairs):
        items, clusters = (pairs[name].max() for name in ("items", "clusters"))
        has_clusters = not pd.isna(clusters) and clusters < items
        counts = f"; n = {int(items):,} items" + (f" in {int(clusters):,} clusters" if has_clusters else "")
    over = pairs["over"].dropna()
    interval = f"; []: 95 % interval over {over.iloc[0]}, paired" if len(over) and pairs["low"].notna().any() else ""
    return (
        f"Percent, mean over {num_tasks} task{'s' * (num_tasks != 1)}{counts}; {seeds} seed{'s' * (seeds != 1)}. "
        f"±: standard error over items{interval}. From: standing.csv, collapse.csv."
    )


def _row(tables: Tables, row: dict[str, Any]) -> AnswerRow:
    label = row["objective"]
    if pd.isna(row.get("last", math.nan)):
        return AnswerRow(label, DASH, DASH, DASH, DASH, "not complete")
    first = select(tables.leaderboard, objective=label, iteration=0).iloc[0]
    best = with_interval(row["best"], error=row["best_item_stderr"]) + f" at {int(row['best_iteration'])}"
    change = DASH
    if not pd.isna(row.get("gain", math.nan)):
        change = points(row["gain"]) + brackets(row["gain_low"], row["gain_high"], points)
    return AnswerRow(
        objective=label,
        first=with_interval(first["mean"], error=first["item_stderr"]),
        best=best,
        last=with_interval(row["last"], error=row["last_item_stderr"]),
        change=change,
        collapse=_collapse_words(tables, label),
    )


def _collapse_words(tables: Tables, label: str) -> str:
    """The kinds of findings with the iteration of the first of each: "score fall at iteration 2"."""
    findings = select(tables.read("tables/collapse.csv"), objective=label)
    if findings.empty:
        return "none found"
    kinds = [f"{kind} at iteration {int(rows['iteration'].min())}" for kind, rows in findings.groupby("finding", sort=False)]
    more = len(kinds) - MAX_KINDS
    return ", ".join([*kinds[:MAX_KINDS], *([f"{more} more kinds"] if more > 0 else [])])


def mean_is_known(tables: Tables) -> bool:
    """Whether the suite has a mean over tasks and the initial policy one."""
    return bool(tables.results.averaged_tasks) and percent(tables.initial_scores()["mean"]) != DASH
