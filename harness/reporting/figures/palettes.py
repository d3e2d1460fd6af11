"""The palettes a figure can be drawn in, on a light and on a dark ground. Places are those of `objectives._colours`: the methods
that ship in its order, then the others.

Each colour has a contrast of 3:1 or more on its ground (tests/reporting/test_palettes.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UserError, did_you_mean
from objectives._colours import COLOURS, DARK_COLOURS, DARK_OTHERS, OTHERS

LIGHT_GROUND, DARK_GROUND = "#ffffff", "#15181d"


@dataclass(frozen=True)
class Palette:
    """light, dark: a colour per place. css: beginning of the names of its CSS variables. lines_tell: methods differ by their
    lines too, since their colours do so little."""

    light: tuple[str, ...]
    dark: tuple[str, ...]
    css: str
    lines_tell: bool = False

    def colour(self, method: str, others: list[str], is_dark: bool = False) -> str:
        """others: the methods of a figure that have no colour of their own, in order; they share the places behind the others."""
        return (self.dark if is_dark else self.light)[self.place(method, others)]

    def place(self, method: str, others: list[str]) -> int:
        names = list(COLOURS)
        if method in COLOURS:
            return names.index(method)
        return len(names) + others.index(method) % (len(self.light) - len(names))


METHODS = Palette((*COLOURS.values(), *OTHERS), (*DARK_COLOURS.values(), *DARK_OTHERS), "method")
PALETTES: Mapping[str, Palette] = {
    "methods": METHODS,
    # Steps of CIELAB L*: 12 from one method that ships to the next, the others halfway.
    "grey": Palette(
        ("#000000", "#202020", "#3b3b3b", "#575757", "#747474", "#939393", "#141414", "#2e2e2e", "#494949", "#656565"),
        ("#fafafa", "#dcdcdc", "#bebebe", "#a1a1a1", "#848484", "#696969", "#ebebeb", "#cdcdcd", "#afafaf", "#929292"),
        "grey",
        lines_tell=True,
    ),
    # Okabe and Ito 2008, "Color universal design"; darker where a colour has less than 3:1 on white, lighter black on dark.
    "okabe-ito": Palette(
        ("#000000", "#cc79a7", "#009e73", "#d55e00", "#0072b2", "#4c9ccb", "#c78800", "#9e963e"),
        ("#ffffff", "#cc79a7", "#009e73", "#d55e00", "#0072b2", "#56b4e9", "#e69f00", "#f0e442"),
        "okabe-ito",
    ),
}


def find_palette(name: str) -> Palette:
    """Raises UserError with the names there are."""
    if name not in PALETTES:
        raise UserError(f'--palette "{name}": no such palette{did_you_mean(name, PALETTES)}; expected {", ".join(PALETTES)}')
    return PALETTES[name]
