"""How steadily every objective gets where it ends, for a paper: what its curve of means loses on the way."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.reporting.tables.formatting import DASH, brackets, percent
from harness.reporting.tables.latex.last_scores import LastScores
from harness.reporting.tables.latex.layout import Cell, Column, name_cell
from harness.reporting.tables.latex.notes import counts, joined, seeds_words, suite_words
from harness.reporting.tables.latex.paper_table import PaperTable, table_label

# name in stability.csv -> head of its column
NUMBERS = {"drop": "final drop", "largest_fall": "largest fall", "area_lost": "mean loss", "falls": "falls", "churn": "churn"}


def stability_table(scores: LastScores) -> PaperTable | None:
    """A row per objective that has every iteration in a seed; None without any."""
    over_seeds = select(scores.tables.stability, seed=None)
    labels = [label for label in scores.tables.results.variants if label in set(over_seeds["objective"])]
    if not labels:
        return None
    columns = []
    for name, title in NUMBERS.items():
        by_label = {row["objective"]: row for row in select(over_seeds, name=name).to_dict("records")}
        columns.append(Column(title, [_cell(name, by_label.get(label)) for label in labels]))
    seeds = {label: int(select(over_seeds, objective=label)["seeds"].max()) for label in labels}
    if set(seeds.values()) != {scores.seeds}:
        columns.append(Column("seeds", [Cell(str(seeds[label])) for label in labels]))
    names = Column("objective", [name_cell(scores.names[label]) for label in labels], "l")
    caption = (
        f"What the curve of the mean over the {suite_words(scores)} loses between iterations 0 and {scores.last}, in points; 0 "
        "is a curve that never falls."
    )
    has_interval = over_seeds["low"].notna().any()
    note = joined(
        counts(scores),
        "Means over seeds; in brackets: 95~\\% interval (t) over seeds, on these items." if has_interval else "Without an error.",
        "Final drop: best minus last; largest fall: between two iterations; mean loss: below the best so far, over iterations; "
        "falls: number of iterations that are below the one before; churn: items whose score changes from an iteration to the "
        "next, in percent.",
        seeds_words(scores),
    )
    return PaperTable(table_label(scores.tables.results.record["name"], "stability"), caption, note, names, columns)


def _cell(name: str, row: dict[str, Any] | None) -> Cell:
    if row is None or pd.isna(row["value"]):
        return Cell(DASH)
    show = (lambda value: f"{value:.1f}") if name == "falls" else percent
    return Cell(show(row["value"]), brackets(row["low"], row["high"], show))
