"""The explorer's first view: the first page of the report, and its figure for a wide and for a narrow screen."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.facts import RunResults
from harness.reporting.explorer.figure import Styles, inline_svg
from harness.reporting.figures import stability_numbers
from harness.reporting.figures.methods import looks
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.style import house_style
from harness.reporting.first_page.page import Answer, FirstPage, Link, Sentence
from harness.reporting.report.content.summary import headlines, sentences
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import items_note
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


def first_page(tables: Tables) -> FirstPage:
    """The first page in the words of the report's summary."""
    results, record = tables.results, tables.results.record
    title, *more = headlines(tables)
    rest = [line for line in sentences(tables) if line not in (title, *more)]
    question = results.study.get("question") or "What was found?"
    seeds, count = len(record["seeds"]), len(results.variants)
    lead = (
        f"{count} objective{'s' * (count != 1)}, {record['iterations']} iterations, {seeds} seed{'s' * (seeds != 1)}; suite "
        f"{results.suite['name']} v{results.suite['version']}, {items_note(results)}."
    )
    answers = (
        *([Answer(question, tuple(Sentence(line, strong=True) for line in more))] if more else []),
        Answer("How sure, and does it last?", tuple(map(Sentence, rest))),
    )
    caption = (
        "a: mean over the tasks, one method to a panel. b: difference at the last iteration, paired over the same items and "
        "seeds; p after Holm's correction. c: change of every task from the initial policy to the last iteration."
    )
    provenance = (Link(f"commit {(record.get('git_commit') or 'unknown')[:10]}"), Link(" ".join(record["command"])))
    return FirstPage(title, lead, answers, "stability_curves", caption, provenance)
