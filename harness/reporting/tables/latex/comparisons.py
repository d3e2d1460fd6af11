"""Every pair of objectives for a paper: the difference of their means over tasks at the last iteration."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.formatting import DASH, brackets, p_value, points, stars
from harness.reporting.tables.latex.last_scores import LastScores
from harness.reporting.tables.latex.layout import Cell, Column, name_cell
from harness.reporting.tables.latex.notes import counts, joined, seeds_words, suite_words
from harness.reporting.tables.latex.paper_table import PaperTable, table_label
from harness.security.escaping import escape_latex


def comparisons_table(scores: LastScores) -> PaperTable | None:
    """A row per pair, in the order of comparisons.csv; None where nothing was compared in the mean."""
    compared = select(scores.tables.comparisons, task=MEAN_TASK).dropna(subset="difference")
    rows = compared.to_dict("records")
    if not rows:
        return None
    several = len(scores.tables.results.panels) > 1 or compared["panel"].nunique() > 1
    starts = {panel: number for number, panel in reversed(list(enumerate(compared["panel"])))}
    breaks = {number: str(panel) for panel, number in starts.items()} if several else {}
    names = Column("a", [_name(scores, row, "a") for row in rows], "l")
    columns = [
        Column("b", [_name(scores, row, "b") for row in rows], "l"),
        Column("difference", [_difference(row) for row in rows]),
        Column("p", [Cell(p_value(row["p"])) for row in rows]),
        Column("p (Holm)", [Cell(p_value(row["p_holm"])) for row in rows]),
        Column("seeds", [Cell(_count(row["seeds"])) for row in rows]),
        Column("items", [Cell(_count(row["items"])) for row in rows]),
    ]
    over = sorted({str(over) for over in compared["over"] if not pd.isna(over)})
    interval = (
        f"In brackets: 95~\\% interval (t) over {escape_latex(' or '.join(over))}. " if compared["low"].notna().any() else ""
    )
    caption = (
        f"Pairs of objectives at the last iteration ({scores.last}), and each with the start: difference of the means over the "
        f"{suite_words(scores)}, in points."
    )
    note = joined(
        counts(scores),
        f"{interval}Difference: a minus b, paired by item and seed; p: t test, then after Holm's correction over the pairs. "
        "** $p < 0.01$, * $p < 0.05$ after it.",
        seeds_words(scores),
    )
    return PaperTable(table_label(scores.tables.results.record["name"], "comparisons"), caption, note, names, columns, breaks)


def _name(scores: LastScores, row: dict, side: str) -> Cell:
    """The objective, with its iteration where that is not the last."""
    label, iteration = row[side], row[f"iteration_{side}"]
    name = scores.names.get(label, str(label))
    return name_cell(name if label == INITIAL or iteration == scores.last else f"{name}, iteration {iteration}")


def _difference(row: dict[str, Any]) -> Cell:
    return Cell(points(row["difference"]), stars(row["p_holm"]) + brackets(row["low"], row["high"], points))


def _count(value: float) -> str:
    return DASH if pd.isna(value) else f"{int(value)}"
