"""The explorer's first view: the first page of the report, and its figure for a wide and for a narrow screen."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.facts import RunResults
from harness.reporting.explorer.figure import Styles, inline_svg
from harness.reporting.figures import stability_numbers
from harness.reporting.figures.methods import looks
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.style import house_style
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
    if not results.averaged_tasks:
        return FirstView(page, "", "")
    tables = RunTables(results)
    kept = Tables(results)
    tables.leaderboard, tables.stability, tables.comparisons = kept.leaderboard, kept.stability, kept.comparisons
    tables.collapse = kept.read("tables/collapse.csv")
    alt = f"{page.caption} The numbers are in the grid and in the comparison."
    with house_style():
        numbers = stability_numbers(results, tables, looks(results.record["variants"]))
        wide, narrow = (
            inline_svg(stability_figure(numbers, width), f"r{place}{kind}", styles, alt)
            for kind, width in (("w", WIDTHS_INCHES[0]), ("n", WIDTHS_INCHES[-1]))
        )
    return FirstView(page, wide, narrow)
