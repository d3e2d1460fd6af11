"""Tables -> matplotlib figures in one style. Reads no run files and shows no number that is not in the tables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomic, write_text
from harness.reporting.figures.methods import Look, looks
from harness.reporting.figures.options import DEFAULT, FigureOptions
from harness.reporting.figures.score_against_kl import KL_FIGURE, score_against_kl
from harness.reporting.figures.scores import task_curves
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.study.first import STABILITY_FIGURE, STUDY_FIGURE, figure_kind, study_figure
from harness.reporting.figures.style import Drawing, house_style
from harness.reporting.figures.training import drift_curves, training_curves

if TYPE_CHECKING:
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.run_tables import RunTables

FORMATS = ("png", "svg", "pdf")


def write_figures(
    results: RunResults, tables: RunTables, folder: Path, everything: bool, options: FigureOptions = DEFAULT
) -> list[Path]:
    """Write the figures of a run as png, svg and pdf, or the stability figure's curves alone; returns the paths.

    The first figure and the score against KL have three widths: `stability_curves` for a page, `stability_curves-5.5` and `-3.25`
    (inches) for the text of a paper and for one of its columns; `options.widths` gives every figure more (`tasks-4in`). A second
    panel or a seventh variant has figures of its own: `tasks-2`, `training-2`. A study that declares one has `study` before them.
    """
    folder.mkdir(exist_ok=True)
    every_look = looks(results.record["variants"], options.palette, options.is_dark)
    paths = []
    with house_style(options):
        for stem, plot in _figures(results, tables, every_look, everything, options.widths):
            title = options.title if stem.partition("-")[0] == _titled(results) else None
            paths += save_figure(plot, folder / stem, options, title)
    return paths


def _figures(
    results: RunResults, tables: RunTables, every_look: Mapping[str, Look], everything: bool, widths: Sequence[float]
) -> Iterator[tuple[str, Drawing]]:
    """(stem, figure) of every figure of the run that has something to show."""
    iterations, tasks = results.record["iterations"], results.suite["task"]
    page = WIDTHS_INCHES[0]
    paper = dict.fromkeys([*(WIDTHS_INCHES if everything else WIDTHS_INCHES[:1]), *widths])
    numbers = stability_numbers(results, tables, every_look, everything) if results.averaged_tasks else None
    for width in paper:
        if everything:
            yield from _named(STUDY_FIGURE, width, study_figure(results, tables, every_look, width))
        if numbers is not None:
            yield from _named(STABILITY_FIGURE, width, stability_figure(numbers, width))
        if numbers is not None and everything:
            yield from _named(KL_FIGURE, width, score_against_kl(numbers, tables.drift, width))
    for width in dict.fromkeys([page, *widths]) if everything else ():
        for number, panel in enumerate(results.panels, 1):
            shown = {label: every_look[label] for label in panel["labels"]}
            scores = task_curves(tables.leaderboard, shown, tasks, iterations, results.scales, results.scores, width)
            yield from _named(figure_name("tasks", number), width, scores, "in")
            yield from _named(figure_name("drift", number), width, drift_curves(tables.drift, shown, iterations, width), "in")
        shown = {label: every_look[label] for label in results.variants}
        steps = training_curves(results.training, shown, results.record["seeds"][0], width)
        for number, plot in enumerate(steps, 1):
            yield from _named(figure_name("training", number), width, plot, "in")


def _named(name: str, width: float, plot: Drawing | None, unit: str = "") -> Iterator[tuple[str, Drawing]]:
    """unit: where a number behind the name is that of a panel, what tells a width from it."""
    if plot is not None:
        yield (name if width == WIDTHS_INCHES[0] else f"{name}-{width:g}{unit}"), plot


def _titled(results: RunResults) -> str:
    """The stem of the run's first figure."""
    return STABILITY_FIGURE if figure_kind(results) is None else STUDY_FIGURE


def stability_numbers(
    results: RunResults, tables: RunTables, every_look: Mapping[str, Look], everything: bool = True
) -> StabilityNumbers:
    """What the stability figure shows of a run. everything=False leaves out what takes long: comparisons and collapse."""
    return StabilityNumbers(
        tables.leaderboard, results.unit_scores, tables.stability, results.panels, results.averaged_tasks,
        results.record["iterations"], every_look, results.record["variants"],
        tables.comparisons if everything else None, tables.collapse if everything else None,
    )  # fmt: skip


def figure_name(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def save_figure(plot: Drawing, stem: Path, options: FigureOptions = DEFAULT, title: str | None = None) -> list[Path]:
    """Write one figure in every format, and beside them the tooltips of its points (`.points.json`, for the HTML report)."""
    plot.finish(options, title)
    paths = []
    for kind in FORMATS:
        path = stem.with_name(f"{stem.name}.{kind}")
        metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with write_atomic(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # reported once for the whole report
            plot.figure.savefig(temporary, format=kind, metadata=metadata)
        paths.append(path)
    points = stem.with_name(f"{stem.name}.points.json")
    write_text(points, json.dumps(plot.tooltip_positions(), indent=0, ensure_ascii=True) + "\n")
    return [*paths, points]
