"""Rows that stand beside the mean over tasks: each in its own unit, read in its own direction."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.score_scale import aside
from harness.analysis.stats import tied
from harness.records import INITIAL
from harness.reporting.report.blocks import Block, section, table, visible
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.printed import MISSING, own

LOSSES = (("drop", "lost since best"), ("largest_fall", "largest loss"), ("falls", "losses"))


def beside_section(tables: Tables) -> Block | None:
    """One line per row and objective; nothing for a suite whose rows all enter the mean."""
    if not tables.facts.beside:
        return None
    rows = [_line(tables, task, label) for task in tables.facts.beside for label in tables.facts.variants]
    header = ["row", "objective", "initial", "best", "at (each seed)", "last", "minus initial", *(title for _, title in LOSSES)]
    described = [visible(aside(row, tables.facts.scales[row["name"]])) for row in tables.facts.beside]
    caption = (
        f"Not in the mean, each in its own unit: {'; '.join(described)}. best, at: of each seed's curve, in the row's direction; "
        "lost: what got worse, a fall or, where lower is better, a rise; brackets: 95 % interval over seeds from three "
        "on (last: over items and seeds), for the difference to the initial policy over items (from three seeds on, items and "
        "seeds), where the row is made of items that can be paired. "
        "Numbers: beside.csv, comparisons.csv, leaderboard.csv."
    )
    return section("Beside the mean", table(header, rows, caption, "ll" + "r" * 8, "0" * 10, 7))


def _line(tables: Tables, task: dict[str, Any], label: str) -> list[str]:
    name = task["name"]
    start = tables.initial()[name]
    mine = tables.beside[(tables.beside["task"] == name) & (tables.beside["objective"] == label)]
    whole = mine[mine["seed"].isna()].set_index("name")
    if whole.empty:
        return [visible(task["label"]), label, own(start), *[MISSING] * 7]
    each = mine[mine["seed"].notna() & (mine["name"] == "best_iteration")]
    numbers = {key: _bracketed(whole.loc[key].to_dict()) for key in ("best", "last", *(key for key, _ in LOSSES))}
    at = " ".join(str(int(value)) for value in each["value"])
    losses = [numbers[key] for key, _ in LOSSES]
    against = _minus_initial(tables, name, label)
    return [visible(task["label"]), label, own(start), numbers["best"], at, numbers["last"], against, *losses]


def _bracketed(one: dict[Any, Any]) -> str:
    return own(one["value"]) + ("" if pd.isna(one["low"]) else f" [{own(one['low'])}, {own(one['high'])}]")


def _minus_initial(tables: Tables, name: str, label: str) -> str:
    compared = tables.comparisons
    found = compared[(compared["task"] == name) & (compared["a"] == label) & (compared["b"] == INITIAL)]
    found = found[(found["iteration_a"] == tables.last) & found["difference"].notna()]
    if found.empty:
        return MISSING
    row = found.iloc[0]
    bounds = "" if pd.isna(row["low"]) else f" [{row['low']:+.4g}, {row['high']:+.4g}]"
    return f"{row['difference']:+.4g}{bounds}"


def beside_sentences(tables: Tables) -> list[str]:
    """Per row: whose number is the best at the last iteration, in the row's direction, and the initial policy's."""
    said = []
    for task in tables.facts.beside:
        scale = tables.facts.scales[task["name"]]
        board = tables.board
        ends = board[(board["iteration"] == tables.last) & board["objective"].isin(tables.facts.variants)]
        ends = ends[ends[task["name"]].notna()]
        if ends.empty:
            continue
        values = ends[task["name"]]
        top = ends[tied(values, values.max() if scale.higher else values.min())]
        best = "highest" if scale.higher else "lowest"
        said.append(
            f"Beside the mean, {visible(aside(task, scale))}: the {best} at the last iteration ({tables.last}) is "
            f"{' and '.join(top['objective'])}'s, {own(top[task['name']].iloc[0])}; the initial policy's is "
            f"{own(tables.initial()[task['name']])}."
        )
    return said
