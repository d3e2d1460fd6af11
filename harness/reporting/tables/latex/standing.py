"""Where every objective ends, for a paper: its best iteration, the last one, what was lost since, and the gain on the start."""

from __future__ import annotations

import math

import pandas as pd

from harness.reporting.tables.formatting import DASH, percent, with_interval
from harness.reporting.tables.latex.last_scores import LastScores
from harness.reporting.tables.latex.layout import Cell, Column, name_cell
from harness.reporting.tables.latex.leaderboard import change_cell
from harness.reporting.tables.latex.notes import (
    counts,
    gain_words,
    joined,
    mark_words,
    mean_errors,
    scale_words,
    seeds_words,
    suite_words,
)  # fmt: skip
from harness.reporting.tables.latex.paper_table import RULE, PaperTable, table_label

SINCE_BEST = (
    "Since best: last minus best in points, paired by item; its interval, and the best's, at Bonferroni's level for the choice "
    "among iterations."
)


def standing_table(scores: LastScores) -> PaperTable | None:
    """A row per panel and objective, the highest last mean first; None where none has a mean at the last iteration."""
    rows, marks, breaks = [], [], {}
    for panel, title in scores.sections():
        standing, of_panel = scores.standing(panel), scores.marks(panel)
        if title or rows:
            breaks[len(rows)] = title or RULE
        for label in (row["objective"] for row in scores.rows(panel)):
            if label in standing and not pd.isna(standing[label].get("last", math.nan)):
                rows.append(standing[label])
                marks.append(of_panel.get(label, ""))
    if not rows:
        return None
    names = Column("objective", [name_cell(scores.names[row["objective"]]) for row in rows], "l")
    columns = [
        Column("best at", [Cell(f"{row['best_iteration']:.0f}") for row in rows]),
        Column("best", [_score_cell(row, "best") for row in rows]),
        Column("last", [_score_cell(row, "last", mark) for row, mark in zip(rows, marks, strict=True)]),
        Column("since best", [change_cell(row, "since_best") for row in rows]),
        Column("gain", [change_cell(row, "gain") for row in rows]),
        Column("P(best)", [_probability(row.get("chance_best")) for row in rows]),
    ]
    columns = [column for column in columns if any(cell.text != DASH for cell in column.cells)]
    caption = f"Best and last iteration ({scores.last}): mean over the {suite_words(scores)}, in {scale_words(scores)}."
    ends = [not pd.isna(row["last_low"]) for row in rows]
    shown = {column.head for column in columns}
    note = joined(
        counts(scores),
        mean_errors(any(ends), not all(ends)),
        SINCE_BEST if "since best" in shown else "",
        gain_words(scores),
        "P(best): probability of the highest mean at the last iteration." if "P(best)" in shown else "",
        mark_words(with_tasks=False) if any(marks) else "",
        seeds_words(scores),
    )
    return PaperTable(table_label(scores.tables.results.record["name"], "standing"), caption, note, names, columns, breaks)


def _score_cell(row: dict, name: str, mark: str = "") -> Cell:
    value = percent(row[name])
    shown = with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_item_stderr"])
    return Cell(value, shown[len(value) :], mark)


def _probability(value: float | None) -> Cell:
    """Two decimals; what rounds to 0 or 1 without being it as a bound."""
    if value is None or pd.isna(value):
        return Cell(DASH)
    return Cell("<0.01" if value < 0.005 else ">0.99" if value > 0.995 else f"{value:.2f}")
