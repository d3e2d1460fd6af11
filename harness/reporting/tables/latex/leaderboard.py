"""The leaderboard for a paper: the start and every objective at the last iteration; and all iterations, in landscape."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.tables.formatting import NO_ERROR, brackets, own_unit, percent, points, with_interval
from harness.reporting.tables.latex.last_scores import LastScores
from harness.reporting.tables.latex.layout import Cell, Column, head, name_cell
from harness.reporting.tables.latex.notes import (
    counts,
    gain_words,
    joined,
    mark_words,
    mean_errors,
    scale_words,
    seeds_words,
    suite_words,
    task_words,
)  # fmt: skip
from harness.reporting.tables.latex.paper_table import RULE, PaperTable, table_label

Row = Mapping[str, Any]  # of leaderboard.csv


def mean_cell(row: Row, mark: str = "") -> Cell:
    """The mean with its interval, or ± the error of sampling items."""
    value = percent(row["mean"])
    return Cell(value, with_interval(row["mean"], row["mean_low"], row["mean_high"], row["item_stderr"])[len(value) :], mark)


def change_cell(row: Row, name: str) -> Cell:
    """A difference in points with its interval; a dash where it was not compared."""
    value, low, high = (row.get(f"{name}{end}", math.nan) for end in ("", "_low", "_high"))
    return Cell("–") if pd.isna(value) else Cell(points(value), brackets(low, high, percent))


def leaderboard_table(scores: LastScores) -> PaperTable:
    """The start, then each panel's objectives at the last iteration, the highest mean first."""
    shown: list[Row] = [scores.start]
    marks: list[Mapping[str, str]] = [{}]  # of each row, by column of leaderboard.csv
    gains: list[Cell] = [Cell("–")]
    breaks: dict[int, str] = {}
    columns = ["mean", *(row["name"] for row in scores.tables.results.suite["task"])]
    for panel, title in scores.sections():
        breaks[len(shown)] = title or RULE
        by_column = {column: scores.marks(panel, column) for column in columns}
        standing = scores.standing(panel)
        for row in scores.rows(panel):
            label = row["objective"]
            shown.append(row)
            marks.append({column: of_label[label] for column, of_label in by_column.items() if label in of_label})
            gains.append(change_cell(standing.get(label, {}), "gain"))
    extra = [Column("gain", gains)] if any(cell.text != "–" for cell in gains) else []
    caption = (
        f"Mean over the {suite_words(scores)}, in {scale_words(scores)}, at the start and at the last iteration ({scores.last})."
    )
    note = joined(
        counts(scores), _errors(shown), gain_words(scores) if extra else "",
        mark_words(with_tasks=True) if any(marks) else "", task_words(scores), seeds_words(scores),
    )  # fmt: skip
    names = Column("objective", [name_cell(scores.names[row["objective"]]) for row in shown], "l")
    label = table_label(scores.tables.results.record["name"], "leaderboard")
    return PaperTable(label, caption, note, names, _score_columns(scores, shown, marks, extra), breaks)


def full_table(scores: LastScores) -> PaperTable:
    """Every row of leaderboard.csv."""
    shown = select(scores.tables.leaderboard, objective=[INITIAL, *scores.tables.results.variants]).to_dict("records")
    iterations = [Cell("" if row["objective"] == INITIAL else str(row["iteration"])) for row in shown]
    first_rows = {row["objective"]: number for number, row in reversed(list(enumerate(shown)))}
    breaks = {number: RULE for number in first_rows.values() if number}
    stars = [Cell("*" if row["best"] else "", is_number=False) for row in shown]
    extra = [Column("", stars), Column("norm.", [Cell(percent(row["normalised_mean"])) for row in shown])]
    columns = [Column("iteration", iterations), *_score_columns(scores, shown, [{}] * len(shown), extra)]
    caption = f"Every iteration: mean over the {suite_words(scores)}, in {scale_words(scores)}."
    note = joined(
        counts(scores), _errors(shown), "*: the best iteration of its objective. Norm.: chance 0, maximum 100.",
        task_words(scores), seeds_words(scores),
    )  # fmt: skip
    names = Column("objective", [name_cell(scores.names[row["objective"]]) for row in shown], "l")
    label = table_label(scores.tables.results.record["name"], "leaderboard-full")
    return PaperTable(label, caption, note, names, columns, breaks)


def _errors(rows: Sequence[Row]) -> str:
    has_interval = any(not pd.isna(row["mean_low"]) for row in rows)
    has_item_error = any(pd.isna(row["mean_low"]) and not pd.isna(e := row["item_stderr"]) and e > NO_ERROR for row in rows)
    return mean_errors(has_interval, has_item_error)


def _score_columns(
    scores: LastScores, rows: Sequence[Row], marks: Sequence[Mapping[str, str]], behind_mean: Sequence[Column]
) -> list[Column]:
    """The mean, what is wanted behind it, seeds where rows differ in them, and every task."""
    results = scores.tables.results
    columns = [Column("mean", [mean_cell(row, of_row.get("mean", "")) for row, of_row in zip(rows, marks, strict=True)])]
    columns += behind_mean
    if {row["seeds"] for row in rows if not pd.isna(row["seeds"])} != {scores.seeds}:
        columns.append(Column("seeds", [Cell("–" if pd.isna(row["seeds"]) else str(row["seeds"])) for row in rows]))
    for task in [*results.averaged_tasks, *results.unaveraged_tasks]:
        name, scale = task["name"], results.scales[task["name"]]
        texts = [percent(scale.to_unit(row[name])) if scale.in_mean else own_unit(row[name]) for row in rows]
        cells = [Cell(text, mark=of_row.get(name, "")) for text, of_row in zip(texts, marks, strict=True)]
        columns.append(Column(head(task["label"]), cells))
    return columns
