"""The data dictionary as Markdown: harness/docs/columns.md, from the definitions in harness/analysis/column_definitions.py."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.column_definitions import FRAMES, TABLE_FILES
from harness.analysis.columns import TEXT, Column, Measurement, TableFile

HEAD = """\
# Columns

Every column of every csv file of a run folder, `results/NAME/`; the tables that Python code is given (`harness.open_run`) have
the same names and units. The files of `reports/NAME/` are copies. Written by `python -m harness.reporting.generated_docs` from
`harness/analysis/column_definitions.py`.

- An empty cell is a missing value, never zero: not finished, not measured, or (an interval, a p) too few seeds or items to
  know.
- Iteration -1 is the initial policy, 0 the first trained one. Scores are shares of 1 unless a unit is named.
- Intervals are 95 % intervals, by Student's t. What each is over stands beside it; no interval is given below three seeds where
  it is over seeds, nor below five items (clusters of items) a task.
- Estimates (of `tables/`, without cost) are written with ten significant digits, so that no rounding of sums is left in them;
  scores.csv, training.csv, dynamics.csv and the tables of cost hold every digit.
- `better` says which direction is better; empty where neither is.
- `metric_NAME` in training.csv: whatever an objective returns as `metrics={"NAME": ...}` of its loss, one value per prompt, is
  averaged over the prompts of a step. Names are the objective's; those shipped use `margin` (argument of the loss's link: real
  minus synthetic reward), `accuracy` (share of pairs with a positive margin), `reward_real` and `reward_synthetic` (the
  objective's reward of a response), `loss_real` and `loss_synthetic` (the two terms of a loss that has them),
  `historical_margin` (of earlier iterations). `harness objectives show NAME` has the equation.
"""


def data_dictionary() -> str:
    """The whole page."""
    parts = [HEAD]
    for table in TABLE_FILES:
        parts.append("\n".join(_table_section(table, f"`{table.path}`")))
    parts.append("## Tables of Python code\n\nNo files: they would be large. `harness.open_run(NAME).samples` and `.items`.\n")
    parts += ["\n".join(_table_section(frame, f"`run.{frame.path}`", "###")) for frame in FRAMES]
    return "\n".join(parts).rstrip() + "\n"


def _table_section(table: TableFile, title: str, level: str = "##") -> Iterator[str]:
    yield f"{level} {title}\n"
    yield table.meaning + (f" In {table.when}." if table.when else "") + "\n"
    yield "| column | meaning | unit | better |\n| --- | --- | --- | --- |"
    yield from map(_column_row, table.columns)
    if table.names:
        yield "\nValues of `name`:\n\n| name | value | unit | better |\n| --- | --- | --- | --- |"
        yield from map(_name_row, table.names)
    yield ""


def _column_row(column: Column) -> str:
    meaning = column.meaning + (f"; interval: {column.interval}" if column.interval else "")
    return _row(f"`{column.name}`", meaning, "" if column.unit == TEXT else column.unit, column.direction)


def _name_row(measurement: Measurement) -> str:
    return _row(f"`{measurement.name}`", measurement.meaning, measurement.unit, measurement.direction)


def _row(name: str, meaning: str, unit: str, direction: str) -> str:
    direction = direction.removesuffix(" is better")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in (name, meaning, unit, direction)) + " |"
