"""Rows of the suite that are not in the mean over tasks: each in its own unit and direction."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.score_scale import describe_unaveraged
from harness.analysis.stats import tied
from harness.records import INITIAL
from harness.reporting.report.blocks import Block, display_text, section, table
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import DASH, own_unit

LOSS_COLUMNS = (("drop", "lost since best"), ("largest_fall", "largest loss"), ("falls", "losses"))


def unaveraged_section(tables: Tables) -> Block | None:
    """One line per row and objective; None for a suite whose rows all enter the mean."""
    if not tables.results.unaveraged_tasks:
        return None
    rows = [_task_row(tables, task, label) for task in tables.results.unaveraged_tasks for label in tables.results.variants]
    header = [
        "row",
        "objective",
        "initial",
        "best",
        "at (each seed)",
        "last",
        "minus initial",
        *(title for _, title in LOSS_COLUMNS),
    ]
    descriptions = [
        display_text(describe_unaveraged(row, tables.results.scales[row["name"]])) for row in tables.results.unaveraged_tasks
    ]
    caption = (
        f"Not in the mean, each in its own unit: {'; '.join(descriptions)}. best, at: of each seed's curve, in the row's "
        "direction; lost: what got worse, a fall or, where lower is better, a rise; brackets: 95 % interval over seeds from "
        "three on (last: over items and seeds), for the difference to the initial policy over items (from three seeds on, items "
        "and seeds), where the row is made of items that can be paired. "
        "Numbers: beside.csv, comparisons.csv, leaderboard.csv."
    )
    return section("Beside the mean", table(header, rows, caption, "ll" + "r" * 8, "0" * 10, 7))


def _task_row(tables: Tables, task: dict[str, Any], label: str) -> list[str]:
    name = task["name"]
    initial_row_score = tables.initial_scores()[name]
    label_rows = tables.unaveraged[(tables.unaveraged["task"] == name) & (tables.unaveraged["objective"] == label)]
    over_seeds = label_rows[label_rows["seed"].isna()].set_index("name")
    if over_seeds.empty:
        return [display_text(task["label"]), label, own_unit(initial_row_score), *[DASH] * 7]
    per_seed = label_rows[label_rows["seed"].notna() & (label_rows["name"] == "best_iteration")]
    shown = {key: _with_brackets(over_seeds.loc[key].to_dict()) for key in ("best", "last", *(key for key, _ in LOSS_COLUMNS))}
    best_iterations = " ".join(str(int(value)) for value in per_seed["value"])
    losses = [shown[key] for key, _ in LOSS_COLUMNS]
    minus_initial = _minus_initial(tables, name, label)
    return [
        display_text(task["label"]),
        label,
        own_unit(initial_row_score),
        shown["best"],
        best_iterations,
        shown["last"],
        minus_initial,
        *losses,
    ]


def _with_brackets(row: dict[Any, Any]) -> str:
    return own_unit(row["value"]) + ("" if pd.isna(row["low"]) else f" [{own_unit(row['low'])}, {own_unit(row['high'])}]")


def _minus_initial(tables: Tables, name: str, label: str) -> str:
    comparisons = tables.comparisons
    matching = comparisons[(comparisons["task"] == name) & (comparisons["a"] == label) & (comparisons["b"] == INITIAL)]
    matching = matching[(matching["iteration_a"] == tables.last) & matching["difference"].notna()]
    if matching.empty:
        return DASH
    row = matching.iloc[0]
    bounds = "" if pd.isna(row["low"]) else f" [{row['low']:+.4g}, {row['high']:+.4g}]"
    return f"{row['difference']:+.4g}{bounds}"


def unaveraged_sentences(tables: Tables) -> list[str]:
    """Per row: the best score at the last iteration, in the row's direction, and the initial policy's."""
    sentences = []
    for task in tables.results.unaveraged_tasks:
        scale = tables.results.scales[task["name"]]
        leaderboard_table = tables.leaderboard
        last_rows = leaderboard_table[
            (leaderboard_table["iteration"] == tables.last) & leaderboard_table["objective"].isin(tables.results.variants)
        ]
        last_rows = last_rows[last_rows[task["name"]].notna()]
        if last_rows.empty:
            continue
        values = last_rows[task["name"]]
        best_rows = last_rows[tied(values, values.max() if scale.higher_is_better else values.min())]
        best_word = "highest" if scale.higher_is_better else "lowest"
        sentences.append(
            f"Beside the mean, {display_text(describe_unaveraged(task, scale))}: the {best_word} at the last iteration "
            f"({tables.last}) is {' and '.join(best_rows['objective'])}'s, {own_unit(best_rows[task['name']].iloc[0])}; the "
            f"initial policy's is {own_unit(tables.initial_scores()[task['name']])}."
        )
    return sentences
