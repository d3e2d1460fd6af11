"""What a user chooses of the figures of one command: widths, font, palette, theme and title."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import UserError, did_you_mean
from harness.reporting.figures.chosen_font import find_font
from harness.reporting.figures.palettes import PALETTES, Palette, find_palette
from harness.reporting.figures.theme import THEMES

MIN_WIDTH_INCHES, MAX_WIDTH_INCHES = 2.5, 30.0
MAX_TITLE_CHARS = 200


@dataclass(frozen=True)
class FigureOptions:
    """widths: inches, in addition to the usual ones. title: of the run's first figure. `figure_options` checks them."""

    widths: tuple[float, ...] = ()
    font: str | None = None
    palette_name: str = "methods"
    theme: str = "light"
    title: str | None = None

    @property
    def palette(self) -> Palette:
        return PALETTES[self.palette_name]

    @property
    def is_dark(self) -> bool:
        return self.theme == "dark"

    def as_typed(self) -> str:
        """The options of the command line that give these figures; empty for the default."""
        words = [f"--figure-width {width:g}" for width in self.widths]
        words += [f"--font {shlex.quote(self.font)}"] if self.font else []
        words += [f"--palette {self.palette_name}"] if self.palette_name != DEFAULT.palette_name else []
        words += [f"--theme {self.theme}"] if self.theme != DEFAULT.theme else []
        words += [f"--title {shlex.quote(self.title)}"] if self.title else []
        return " ".join(words)


DEFAULT = FigureOptions()


def figure_options(
    widths: Sequence[float] = (),
    font: str | None = None,
    palette: str | None = None,
    theme: str | None = None,
    title: str | None = None,
) -> FigureOptions:
    """Checked options; None is the default. Raises UserError that names what is available."""
    for width in widths:
        if not MIN_WIDTH_INCHES <= width <= MAX_WIDTH_INCHES:
            raise UserError(
                f"--figure-width {width:g}: expected {MIN_WIDTH_INCHES:g} to {MAX_WIDTH_INCHES:g} inches; a column of a paper "
                "has 3.25, its text 5.5"
            )
    palette, theme = palette or DEFAULT.palette_name, theme or DEFAULT.theme
    find_palette(palette)
    if theme not in THEMES:
        raise UserError(f'--theme "{theme}": no such theme{did_you_mean(theme, THEMES)}; expected {" or ".join(THEMES)}')
    if title is not None and len(title) > MAX_TITLE_CHARS:
        raise UserError(f"--title: {len(title)} characters; expected at most {MAX_TITLE_CHARS}")
    if font is not None:
        find_font(font)
    return FigureOptions(tuple(dict.fromkeys(widths)), font, palette, theme, title or None)
