"""Tables -> matplotlib figures in one house style. Reads no run files and shows no number the tables lack."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.files import write_text
from harness.reporting.figures.scores import stability_curves, task_curves
from harness.reporting.figures.style import Drawing, house_style
from harness.reporting.figures.training import drift_curves, training_curves

if TYPE_CHECKING:
    from harness.analysis.facts import Facts, Frame

FORMATS = ("png", "svg", "pdf")


def write_all(
    facts: Facts, board: Frame, drift: Frame, panels: Sequence[dict[str, Any]], folder: Path, every: bool
) -> list[Path]:
    """The figures of a run as png, svg and pdf, or the stability curves alone; returns the paths.

    A second panel or a seventh variant has figures of its own: `tasks-2`, `training-2`.
    """
    folder.mkdir(exist_ok=True)
    iterations, tasks = facts.record["iterations"], facts.suite["task"]
    with house_style():
        made: dict[str, Drawing | None] = {}
        if facts.counted:
            made["stability_curves"] = stability_curves(board, facts.shares, panels, facts.counted, iterations)
        if every:
            for number, panel in enumerate(panels, 1):
                made[_named("tasks", number)] = task_curves(board, panel["labels"], tasks, iterations, facts.scales)
                made[_named("drift", number)] = drift_curves(drift, panel["labels"], iterations)
            for number, one in enumerate(training_curves(facts.training, facts.variants, facts.record["seeds"][0]), 1):
                made[_named("training", number)] = one
        return [path for name, one in made.items() if one is not None for path in save(one, folder / name)]


def _named(kind: str, number: int) -> str:
    return kind if number == 1 else f"{kind}-{number}"


def save(made: Drawing, stem: Path) -> list[Path]:
    """One figure in every format, and beside them what its points say (`.points.json`, for the HTML report)."""
    made.speak_plainly()
    paths = []
    for kind in FORMATS:
        path = stem.with_suffix(f".{kind}")
        temporary = path.with_name(path.name + ".tmp")
        metadata: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # said once, of the whole report
            made.figure.savefig(temporary, format=kind, metadata=metadata)
        temporary.replace(path)
        paths.append(path)
    points = stem.with_suffix(".points.json")
    write_text(points, json.dumps(made.places(), indent=0, ensure_ascii=True) + "\n")
    return [*paths, points]
