"""The explorer's first view: the first page of the report, and its figure for a wide and for a narrow screen."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.facts import RunResults
from harness.reporting.explorer.figure import Styles, inline_svg
from harness.reporting.figures import stability_numbers
from harness.reporting.figures.methods import looks
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.study.first import study_figure
from harness.reporting.figures.style import Drawing, house_style
from harness.reporting.first_page.build import first_page
from harness.reporting.first_page.page import FirstPage
from harness.reporting.tables.reading import Tables
from harness.reporting.tables.run_tables import RunTables


@dataclass(frozen=True)
class FirstView:
    """page: the words; wide, narrow: the figure as SVG, empty for a run without a mean over tasks."""

    page: FirstPage
    wide: str
    narrow: str


def first_view(results: RunResults, place: int, styles: Styles) -> FirstView:
    """Of one run. place: its number on the page."""
    page = first_page(Tables(results))
    alt = f"{page.caption} The numbers are in the grid and in the comparison."
    tables, kept = RunTables(results), Tables(results)
    tables.leaderboard, tables.stability, tables.comparisons = kept.leaderboard, kept.stability, kept.comparisons
    tables.collapse = kept.read("tables/collapse.csv")
    with house_style():
        plots = [_figure(results, tables, width) for width in (WIDTHS_INCHES[0], WIDTHS_INCHES[-1])]
        wide, narrow = (
            "" if plot is None else inline_svg(plot, f"r{place}{kind}", styles, alt)
            for kind, plot in zip("wn", plots, strict=True)
        )
    return FirstView(page, wide, narrow)


def _figure(results: RunResults, tables: RunTables, width: float) -> Drawing | None:
    """The study's own figure, else the stability figure; width: inches."""
    every_look = looks(results.record["variants"])
    plot = study_figure(results, tables, every_look, width)
    if plot is None and results.averaged_tasks:
        plot = stability_figure(stability_numbers(results, tables, every_look), width)
    return plot
