"""Which figure comes first in the report of a run, and what its caption is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from harness.analysis.text_columns import read_table
from harness.reporting.figures.methods import Look
from harness.reporting.figures.stability.compose import stability_caption
from harness.reporting.figures.study.differences import differences_caption, differences_figure
from harness.reporting.figures.study.pairs import pairs_caption, pairs_figure
from harness.reporting.figures.study.rates import rates_caption, rates_figure
from harness.reporting.figures.study.tokens import tokens_caption, tokens_figure
from harness.reporting.figures.style import Drawing
from harness.reporting.tables.comparisons import with_current_columns
from harness.reporting.tables.formatting import items_note
from harness.security.escaping import one_line

if TYPE_CHECKING:
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.run_tables import RunTables

STUDY_FIGURE, STABILITY_FIGURE = "study", "stability_curves"  # stems in plots/


def figure_kind(results: RunResults) -> str | None:
    """The kind of figure the run's study declares, None for the stability figure. A run of a version that did not record it has
    the figure of its grid, if it has one."""
    study = results.study
    if (kind := study.get("figure")) is not None:
        return str(kind)
    return "rates" if study.get("grid") else None


def study_figure_name(results: RunResults) -> str | None:
    """The stem of the figure that page 1 shows: "study" where the study's own has been written, else "stability_curves"; None
    where no task enters a mean. The run's figures must have been written (`tables.refresh`)."""
    if figure_kind(results) is not None and (results.root / "plots" / f"{STUDY_FIGURE}.svg").is_file():
        return STUDY_FIGURE
    return STABILITY_FIGURE if results.averaged_tasks else None


def study_figure_caption(results: RunResults, safe: Callable[[Any], str] = one_line) -> str:
    """What the first figure shows, with its n, what its errors are, and the csv files with its numbers, which must have been
    written (`tables.refresh`). safe: makes labels of tasks printable."""
    items = items_note(results, safe, brief=True)
    kind = figure_kind(results) if study_figure_name(results) == STUDY_FIGURE else None
    seeds, last = len(results.record["seeds"]), results.record["iterations"] - 1
    if kind == "rates":
        return rates_caption(read_table(results.root / "tables/chosen.csv"), results.study["grid"]["choose"])
    if kind == "pairs":
        return pairs_caption(seeds, last, items)
    if kind == "tokens":
        return tokens_caption(seeds, items)
    if kind == "differences":
        return differences_caption(
            with_current_columns(read_table(results.root / "tables/comparisons.csv")), results.variants, items
        )
    return stability_caption(items)


def study_figure(results: RunResults, tables: RunTables, looks: Mapping[str, Look], width: float) -> Drawing | None:
    """The figure that the run's study declares; None for a run without one, and where what it shows is not finished."""
    kind = figure_kind(results)
    if kind == "rates" and results.study.get("grid"):
        return rates_figure(tables.chosen, results.study["grid"]["choose"], looks, width)
    if not results.averaged_tasks:
        return None
    arms = [arm for arm in results.study.get("arms", []) if arm["label"] in looks]
    if kind == "pairs" and arms:
        return pairs_figure(tables.study, results.record["iterations"] - 1, _all_pairs(results), looks, width)
    if kind == "tokens" and arms:
        return tokens_figure(arms, tables.leaderboard, results.costs, looks, width)
    if kind == "differences":
        return differences_figure(tables.comparisons, looks, width)
    return None


def _all_pairs(results: RunResults) -> int:
    """The number of annotated pairs that an arm takes which says no number."""
    manifest = results.finished_phases.manifest("data")
    return int(manifest["counts"]["train"]) if manifest else 0
