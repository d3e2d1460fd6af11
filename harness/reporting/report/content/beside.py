"""Rows of the suite that are not in the mean over tasks: each in its own unit and direction."""

from __future__ import annotations

from typing import Any

from harness.analysis.frames import select
from harness.analysis.score_scale import describe_unaveraged
from harness.records import INITIAL
from harness.reporting.display_text import display_text
from harness.reporting.report.blocks import Block, section, table
from harness.reporting.tables.formatting import DASH, brackets, own_unit
from harness.reporting.tables.reading import Tables

LOSS_COLUMNS = {"drop": "lost since best", "largest_fall": "largest loss", "falls": "losses"}


def unaveraged_section(tables: Tables) -> Block | None:
    """One line per row and objective; None for a suite whose rows all enter the mean."""
    if not tables.results.unaveraged_tasks:
        return None
    rows = [_task_row(tables, task, label) for task in tables.results.unaveraged_tasks for label in tables.results.variants]
    header = ["row", "objective", "initial", "best", "at (each seed)", "last", "minus initial", *LOSS_COLUMNS.values()]
    scales = tables.results.scales
    descriptions = [display_text(describe_unaveraged(row, scales[row["name"]])) for row in tables.results.unaveraged_tasks]
    caption = (
        f"Not in the mean, each in its own unit: {'; '.join(descriptions)}. best, at: of each seed's curve, in the row's "
        "direction; lost: what got worse, a fall or, where lower is better, a rise; brackets: 95 % interval over seeds from "
        "three on (last: over items and seeds), for the difference to the start over items (from three seeds on, items "
        "and seeds), where the row is made of items that can be paired. Numbers: beside.csv, comparisons.csv, leaderboard.csv."
    )
    return section("Beside the mean", table(header, rows, caption, "ll" + "r" * 8, "0" * 10, 7))


def _task_row(tables: Tables, task: dict[str, Any], label: str) -> list[str]:
    name = task["name"]
    cells = [display_text(task["label"]), label, own_unit(tables.initial_scores()[name])]
    numbers = select(tables.beside, task=name, objective=label)
    over_seeds = select(numbers, seed=None).set_index("name").to_dict("index")
    if not over_seeds:
        return [*cells, *[DASH] * 7]
    shown = {key: own_unit(n["value"]) + brackets(n["low"], n["high"], own_unit) for key, n in over_seeds.items()}
    best_iterations = select(numbers, name="best_iteration").dropna(subset="seed")["value"]
    at_each_seed = " ".join(str(int(value)) for value in best_iterations)
    losses = [shown[key] for key in LOSS_COLUMNS]
    return [*cells, shown["best"], at_each_seed, shown["last"], _minus_initial(tables, name, label), *losses]


def _minus_initial(tables: Tables, name: str, label: str) -> str:
    pairs = select(tables.comparisons, task=name, a=label, b=INITIAL, iteration_a=tables.last).dropna(subset="difference")
    if pairs.empty:
        return DASH
    row, show = pairs.iloc[0], "{:+.4g}".format
    return show(row["difference"]) + brackets(row["low"], row["high"], show)
