"""Tables -> matplotlib figures in one style. Reads no run files and shows no number that is not in the tables."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_atomic, write_text
from harness.reporting.figures.scores import stability_curves, task_curves
from harness.reporting.figures.style import Drawing, house_style
from harness.reporting.figures.training import drift_curves, training_curves

if TYPE_CHECKING:
    from harness.analysis.facts import Frame, RunResults

FORMATS = ("png", "svg", "pdf")


def write_figures(
    results: RunResults, leaderboard_table: Frame, drift: Frame, panels: Sequence[dict[str, Any]], folder: Path, everything: bool
) -> list[Path]:
    """Write the figures of a run as png, svg and pdf, or the stability curves alone; returns the paths.

    A second panel or a seventh variant has figures of its own: `tasks-2`, `training-2`.
    """
    folder.mkdir(exist_ok=True)
    iterations, tasks = results.record["iterations"], results.suite["task"]
    with house_style():
        plots: dict[str, Drawing | None] = {}
        if results.averaged_tasks:
            shares = results.unit_scores
            plots["stability_curves"] = stability_curves(leaderboard_table, shares, panels, results.averaged_tasks, iterations)
        for number, panel in enumerate(panels if everything else (), 1):
            labels = panel["labels"]
            plots[figure_name("tasks", number)] = task_curves(leaderboard_table, labels, tasks, iterations, results.scales)
            plots[figure_name("drift", number)] = drift_curves(drift, labels, iterations)
        steps = training_curves(results.training, results.variants, results.record["seeds"][0]) if everything else []
        plots |= {figure_name("training", number): plot for number, plot in enumerate(steps, 1)}
        return [path for name, plot in plots.items() if plot is not None for path in save_figure(plot, folder / name)]


def figure_name(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def save_figure(plot: Drawing, stem: Path) -> list[Path]:
    """Write one figure in every format, and beside them the tooltips of its points (`.points.json`, for the HTML report)."""
    plot.disable_mathtext()
    paths = []
    for kind in FORMATS:
        path = stem.with_suffix(f".{kind}")
        metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with write_atomic(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # reported once for the whole report
            plot.figure.savefig(temporary, format=kind, metadata=metadata)
        paths.append(path)
    points = stem.with_suffix(".points.json")
    write_text(points, json.dumps(plot.tooltip_positions(), indent=0, ensure_ascii=True) + "\n")
    return [*paths, points]
