"""The figures that were drawn, as blocks of the report."""

from __future__ import annotations

from harness.reporting.figures import figure_name
from harness.reporting.report.blocks import Block, figure
from harness.reporting.tables.reading import Tables


def figure_block(tables: Tables, kind: str, number: int, caption: str) -> Block | None:
    """The figure of the `number`-th panel or group of variants, counted from 1; None where it was not drawn."""
    name = figure_name(kind, number)
    return figure(name, caption, floats=True) if (tables.results.root / "plots" / f"{name}.svg").exists() else None
