"""What an earlier command left in a folder of figures: those that no longer belong to the run, and what was chosen of them."""

from __future__ import annotations

import re
from pathlib import Path

from harness.files import read_json, write_json
from harness.reporting.figures.options import FigureOptions

CHOICE_FILE = "options.json"  # what the user chose of the figures beside it; there is none where they are the usual ones
OURS = re.compile(r"(study|stability_curves|score_against_kl|tasks|drift|training)(-[\d.]+(in)?)*\.(png|svg|pdf|points\.json)")


def remove_stale(folder: Path, written: set[str]) -> None:
    """Remove figures of ours that were not written this time: they show numbers that the tables beside them may no longer have.

    A file with any other name is the user's and stays.
    """
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in written:
            path.unlink()


def write_choice(folder: Path, options: FigureOptions) -> None:
    """Record what was typed of these figures, or that they are the usual ones."""
    if words := options.as_typed():
        write_json(folder / CHOICE_FILE, {"options": words})
    else:
        (folder / CHOICE_FILE).unlink(missing_ok=True)


def figures_choice(folder: Path) -> str:
    """What was typed of the figures in this folder, as options of `harness report`; empty for the usual ones."""
    path = folder / CHOICE_FILE
    return str(read_json(path)["options"]) if path.is_file() else ""
