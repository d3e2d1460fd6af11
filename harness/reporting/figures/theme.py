"""Ink, grid and ground of a figure, and what each becomes on a dark ground and in a page that has its own.

Figures are drawn in the colours for white paper; `darken` turns a drawn figure's into those for a dark ground.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.reporting.figures.palettes import DARK_GROUND, LIGHT_GROUND

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEMES = ("light", "dark")
ALARM = "#b00020"
# Colour on white -> the same on a dark ground. Each appears once, so that a colour says what it is for.
ON_DARK = {
    LIGHT_GROUND: DARK_GROUND,
    "#000000": "#f0f0f0",
    "#111111": "#eeeeef",
    "#222222": "#e8e8e8",
    "#333333": "#d2d2d2",
    "#444444": "#c2c2c2",
    "#555555": "#aaaaab",
    "#5a5a5a": "#b0b0b0",
    "#767676": "#9a9a9a",
    "#8a8a8a": "#838383",
    "#8c8c8c": "#868687",
    "#cccccc": "#4a505a",
    "#dddddd": "#3a3f47",
    "#eeeeee": "#262b32",
    ALARM: "#ff6b7f",
}
DIVERGING_ON_DARK = ("#e8735f", "#2b3038", "#5aa3e6")  # a loss, none, a gain: the ends take ink as dark as the ground


def dark_settings() -> dict[str, Any]:
    """matplotlib's own colours on a dark ground."""
    ink, edge = ON_DARK["#000000"], ON_DARK["#555555"]
    return {
        "figure.facecolor": DARK_GROUND, "savefig.facecolor": DARK_GROUND, "axes.facecolor": DARK_GROUND, "text.color": ink,
        "axes.labelcolor": ink, "axes.titlecolor": "auto", "xtick.color": ink, "ytick.color": ink, "axes.edgecolor": edge,
        "grid.color": ON_DARK["#dddddd"],
    }  # fmt: skip


def darken(figure: Figure) -> None:
    """Give every colour of a drawn figure its counterpart on a dark ground; methods have theirs already."""
    from matplotlib.collections import Collection
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.text import Text

    for artist in figure.findobj():
        if isinstance(artist, Text):
            artist.set_color(_dark(artist.get_color()))
        elif isinstance(artist, Line2D):
            artist.set_color(_dark(artist.get_color()))
            artist.set_markerfacecolor(_dark(artist.get_markerfacecolor()))
            artist.set_markeredgecolor(_dark(artist.get_markeredgecolor()))
        elif isinstance(artist, Patch):
            artist.set_facecolor(_dark(artist.get_facecolor()))
            artist.set_edgecolor(_dark(artist.get_edgecolor()))
        elif isinstance(artist, Collection) and artist.get_array() is not None:
            artist.set_cmap(LinearSegmentedColormap.from_list("", DIVERGING_ON_DARK))
            artist.set_edgecolor(DARK_GROUND)
        elif isinstance(artist, Collection):
            artist.set_facecolor([_dark(colour) for colour in artist.get_facecolor()])
            artist.set_edgecolor([_dark(colour) for colour in artist.get_edgecolor()])


def _dark(colour: Any) -> Any:
    from matplotlib.colors import is_color_like, to_hex, to_rgba

    if not is_color_like(colour) or (isinstance(colour, str) and colour in ("none", "auto")):
        return colour
    dark = ON_DARK.get(to_hex(colour))
    return colour if dark is None else (*to_rgba(dark)[:3], to_rgba(colour)[3])
