"""The style of every figure: type, axes, canvas. How a variant looks is said in `methods.py`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.reporting.figures.chosen_font import register_font
from harness.reporting.figures.fonts import FAMILY, font_families
from harness.reporting.figures.labels import PointLabel, place_labels
from harness.reporting.figures.library import isolated_matplotlib
from harness.reporting.figures.library import matplotlib as library
from harness.reporting.figures.options import DEFAULT, FigureOptions
from harness.reporting.figures.theme import dark_settings, darken
from harness.security.escaping import escape_invisible

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#767676"
MAX_TICKS = 25
START = "start"  # the initial policy's tick
LEGEND_CHARS_PER_INCH = 12
WIDTH_INCHES = 7.0  # the text width of the report


@contextmanager
def house_style(options: FigureOptions = DEFAULT) -> Iterator[None]:
    """Small type for print, light grid, no frame on top and right, bytes that depend on the data and the options alone."""
    settings: dict[Any, Any] = {
        "savefig.dpi": 170, "svg.hashsalt": "harness", "pdf.fonttype": 42, "font.family": FAMILY, "font.size": 8,
        "axes.titlesize": 8.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 8,
        "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#555555",
        "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#DDDDDD", "grid.linewidth": 0.6,
        "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "legend.frameon": False, "legend.fontsize": 7.5, "lines.markersize": 4.5,
    }  # fmt: skip
    if options.is_dark:
        settings |= dark_settings()
    with isolated_matplotlib(settings):
        if options.font is not None:
            library().rcParams["font.family"] = [register_font(options.font), FAMILY]
        yield


@dataclass
class Drawing:
    """A figure and the tooltips of its points: (axes, x, y, text) in data coordinates."""

    figure: Figure
    axes: list[Axes]
    tooltips: list[tuple[Axes, float, float, str]] = field(default_factory=list)
    labels: list[tuple[Axes, Sequence[PointLabel], np.ndarray]] = field(default_factory=list)

    def add_tooltip(self, axis: Axes, x: float, y: float, text: str) -> None:
        self.tooltips.append((axis, float(x), float(y), text))

    def disable_mathtext(self) -> None:
        """Draw every text literally, without mathtext: invisible characters are escaped, and any script has its fonts.

        Tick labels are left alone: matplotlib writes some of them as mathtext itself.
        """
        from matplotlib.text import Text

        texts: list[Text] = []
        tick_text_ids: set[int] = set()
        for axes in self.figure.axes:
            for axis in (axes.xaxis, axes.yaxis):
                tick_text_ids |= {id(text) for text in (*axis.get_ticklabels(which="both"), axis.offsetText)}
        for text in self.figure.findobj(Text):
            assert isinstance(text, Text)
            if id(text) not in tick_text_ids:
                text.set_parse_math(False)
                if (escaped := escape_invisible(text.get_text(), keep="\n")) != text.get_text():
                    text.set_text(escaped)
                texts.append(text)
        font_names = font_families("".join(text.get_text() for text in texts))
        for text in texts:
            text.set_fontfamily(font_names)

    def add_labels(self, axis: Axes, labels: Sequence[PointLabel], obstacles: np.ndarray) -> None:
        """Names to be written when the figure is finished. obstacles: (N, 2) data coordinates of what they should not cover."""
        self.labels.append((axis, labels, obstacles))

    def finish(self, options: FigureOptions = DEFAULT, title: str | None = None) -> None:
        """What is done once to every figure that is drawn: title, names beside points, the theme's colours, texts as written."""
        if title:
            self.figure.suptitle(title, x=0.005, ha="left", fontsize=9.5, fontweight="bold")
        if self.labels:
            self.figure.draw_without_rendering()
            for axis, labels, obstacles in self.labels:
                place_labels(axis, labels, obstacles)
            self.labels = []
        if options.is_dark:
            darken(self.figure)
        self.disable_mathtext()

    def tooltip_positions(self) -> list[dict[str, Any]]:
        """The tooltips with positions in points (1/72 inch) from the upper left corner. The figure must have been drawn."""
        height = 72 * self.figure.get_figheight()
        positions = []
        for axis, x, y, text in self.tooltips:
            left, top = axis.transData.transform((x, y)) * 72 / self.figure.dpi
            positions.append({"x": round(float(left), 2), "y": round(float(height - top), 2), "text": escape_invisible(text)})
        return positions


def make_canvas(width: float, height: float) -> Figure:
    """An empty figure, inches."""
    library()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def make_drawing(rows: int, columns: int, height: float, **options: Any) -> Drawing:
    figure = make_canvas(options.pop("width", WIDTH_INCHES), height)
    grid = {"height_ratios": options.pop("height_ratios")} if "height_ratios" in options else None
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=grid, **options)
    return Drawing(figure, list(axes.flat))


def short_name(text: str, chars: int = 22, lines: int = 1) -> str:
    """A name in so many lines of so many characters; what is longer ends in "…", since it would leave no room to draw."""
    return "\n".join(textwrap.wrap(text, max(chars, 5), max_lines=lines, placeholder="…"))


def iteration_ticks(axis: Axes, iterations: int, first: str = START, at_most: int = MAX_TICKS) -> None:
    """Ticks for the initial policy and for every iteration, or for as many as can be read."""
    step = -(-iterations // max(1, at_most))
    shown = range(0 if step == 1 else step, iterations, step)  # no 0 so near to the first that it would cover it
    axis.set_xticks([-1, *shown], [first, *map(str, shown)])


def iteration_axis(axis: Axes, iterations: int, first: str = START, at_most: int = MAX_TICKS) -> None:
    iteration_ticks(axis, iterations, first, at_most)
    axis.set_xlim(-1.25, iterations - 0.75)


def legend_columns(names: Sequence[str], chars: int) -> int:
    """How many names stand in a line of so many characters."""
    longest = max(map(len, names), default=0)
    return max(1, min(len(names), 7, chars // (longest + 8)))


def shared_legend(plot: Drawing, axis: Axes) -> None:
    handles, names = axis.get_legend_handles_labels()
    if handles:
        chars = int(LEGEND_CHARS_PER_INCH * plot.figure.get_figwidth())
        names = [short_name(name, chars - 8) for name in names]
        columns = legend_columns(names, chars)
        plot.figure.legend(handles, names, loc="outside lower center", ncols=columns, handlelength=3)
