"""Tables -> matplotlib figures in one style. Reads no run files and shows no number that is not in the tables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomic, write_text
from harness.reporting.figures.methods import Look, looks
from harness.reporting.figures.scores import task_curves
from harness.reporting.figures.stability.compose import WIDTHS_INCHES, stability_figure
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import Drawing, house_style
from harness.reporting.figures.training import drift_curves, training_curves

if TYPE_CHECKING:
    from harness.analysis.facts import RunResults
    from harness.reporting.tables.run_tables import RunTables

FORMATS = ("png", "svg", "pdf")


def write_figures(results: RunResults, tables: RunTables, folder: Path, everything: bool) -> list[Path]:
    """Write the figures of a run as png, svg and pdf, or the stability figure's curves alone; returns the paths.

    The stability figure has three widths: `stability_curves` for a page, `stability_curves-5.5` and `-3.25` (inches) for the text
    of a paper and for one of its columns. A second panel or a seventh variant has figures of its own: `tasks-2`, `training-2`.
    """
    folder.mkdir(exist_ok=True)
    iterations, tasks = results.record["iterations"], results.suite["task"]
    every_look = looks(results.record["variants"])
    with house_style():
        plots: dict[str, Drawing | None] = {}
        if results.averaged_tasks:
            numbers = stability_numbers(results, tables, every_look, everything)
            for width in WIDTHS_INCHES if everything else WIDTHS_INCHES[:1]:
                name = "stability_curves" + ("" if width == WIDTHS_INCHES[0] else f"-{width:g}")
                plots[name] = stability_figure(numbers, width)
        for number, panel in enumerate(results.panels if everything else (), 1):
            shown = {label: every_look[label] for label in panel["labels"]}
            plots[figure_name("tasks", number)] = task_curves(tables.leaderboard, shown, tasks, iterations, results.scales)
            plots[figure_name("drift", number)] = drift_curves(tables.drift, shown, iterations)
        shown = {label: every_look[label] for label in results.variants}
        steps = training_curves(results.training, shown, results.record["seeds"][0]) if everything else []
        plots |= {figure_name("training", number): plot for number, plot in enumerate(steps, 1)}
        return [path for name, plot in plots.items() if plot is not None for path in save_figure(plot, folder / name)]


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


def save_figure(plot: Drawing, stem: Path) -> list[Path]:
    """Write one figure in every format, and beside them the tooltips of its points (`.points.json`, for the HTML report)."""
    plot.disable_mathtext()
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
