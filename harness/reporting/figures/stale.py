"""What an earlier command left in a folder of figures: those that no longer belong to the run, and what was chosen of them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from harness.errors import UserError
from harness.files import read_json, write_json
from harness.reporting.figures.options import DEFAULT, FigureOptions
from harness.reporting.figures.palettes import PALETTES
from harness.reporting.figures.theme import THEMES

CHOICE_FILE = "options.json"  # what the user chose of the figures beside it; there is none where they are the usual ones
OURS = re.compile(r"(study|stability_curves|score_against_kl|tasks|drift|training)(-[\d.]+(in)?)*\.(png|svg|pdf|points\.json)")


def remove_stale(folder: Path, written: set[str]) -> None:
    """Remove figures of ours that were not written this time: they show numbers that the tables beside them may no longer have.

    A file with any other name is the user's and stays.
    """
    for path in folder.iterdir():
        if OURS.fullmatch(path.name) and path.name not in written and f"{path.name.partition('.points')[0]}.svg" not in written:
            path.unlink()


def write_choice(folder: Path, options: FigureOptions) -> None:
    """Record what was chosen of these figures, or that they are the usual ones."""
    if options == DEFAULT:
        (folder / CHOICE_FILE).unlink(missing_ok=True)
    else:
        write_json(folder / CHOICE_FILE, dataclasses.asdict(options))


def figures_choice(folder: Path) -> FigureOptions:
    """What was chosen of the figures in this folder. Raises UserError for a damaged record of it."""
    path = folder / CHOICE_FILE
    if not path.is_file():
        return DEFAULT
    try:
        record = read_json(path)
        options = FigureOptions(tuple(float(width) for width in record.pop("widths")), **record)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); delete it") from None
    texts = (options.font, options.title)
    is_known = options.palette_name in PALETTES and options.theme in THEMES
    if not is_known or not all(text is None or isinstance(text, str) for text in texts):
        raise UserError(f"{path}: damaged (no options of figures); delete it")
    return options
