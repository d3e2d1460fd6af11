"""What figures of many small panels share: how many stand side by side, their iteration axis, and the names of their curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.reporting.figures.methods import Look
from harness.reporting.figures.style import (
    LEGEND_CHARS_PER_INCH,
    Drawing,
    iteration_axis,
    legend_columns,
    make_canvas,
    shared_legend,
    short_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES_PER_TICK, LEGEND_LINE_INCHES = 0.2, 0.16
SIDES_INCHES, NOTE_CHARS_PER_INCH, NOTE_PAD = 0.33, 23.5, 12
MAX_POINTS_MARKED = 12
MAX_VARIANTS_BESIDE, MAX_CHARS_BESIDE = 6, 12  # names stand beside the curves up to here, in a legend from here on
NAME_GAP = 0.115  # of a panel's height, from one name to the next
HEAD_INCHES = 0.45  # for a legend


def make_panels(
    count: int, width: float, min_inches: float, row_inches: float, most: int, shown: Mapping[str, Look]
) -> tuple[Drawing, int]:
    """(panels of which the first `count` are shown, columns), at most so many side by side and each at least so wide. shown:
    whose curves they hold, for the height of a legend."""
    columns = max(1, min(most, count, int(width / min_inches)))
    rows = math.ceil(count / columns)
    figure: Any = make_canvas(width, row_inches * rows + HEAD_INCHES + _legend_inches(shown, width))
    plot = Drawing(figure, list(figure.subplots(rows, columns, squeeze=False).flat))
    for axis in plot.axes[count:]:
        axis.remove()
    del plot.axes[count:]
    for number, axis in enumerate(plot.axes):
        axis.tick_params(labelbottom=number >= count - columns)  # those without a panel below them
    return plot, columns


def small_iteration_axis(axis: Axes, iterations: int, inches: float) -> None:
    """Ticks as many as can be read. inches: from one panel to the next."""
    step = (inches - 0.35) / (iterations + 1)
    iteration_axis(axis, iterations, at_most=int((inches - 0.35) / INCHES_PER_TICK))
    axis.tick_params(axis="x", labelsize=6.5)
    is_crowded = INCHES_PER_TICK * 0.8 < step < 0.3  # "start" would cover the 0 beside it
    axis.xaxis.get_major_ticks()[0].label1.set_horizontalalignment("right" if is_crowded else "center")


def write_note(axis: Axes, candidates: Sequence[str], inches: float) -> None:
    """Between title and panel, the first of the candidates that fits. The title needs a pad of `NOTE_PAD`.

    It takes no part in the layout, which would make the panels narrower for it."""
    chars = int(NOTE_CHARS_PER_INCH * (inches - SIDES_INCHES))
    text = next((candidate for candidate in candidates if len(candidate) <= chars), short_name(candidates[-1], chars))
    note = axis.text(0, 1.035, text, transform=axis.transAxes, fontsize=5.8, color="#444444", va="bottom")
    note.set_in_layout(False)


def mark_every(points: int) -> int:
    """Which of a curve's points have a marker: all, or about eight where there are many."""
    return 1 if points <= MAX_POINTS_MARKED else points // 8


def name_curves(plot: Drawing, count: int, columns: int, shown: Mapping[str, Look]) -> None:
    """Names beside the ends of the curves, right of every row of panels; in a legend below where they are many or long.

    Curves carry their variant's name as label."""
    names = [look.name for look in shown.values()]
    if not _fit_beside(names):
        shared_legend(plot, plot.axes[0])
        return
    colours = {look.name: look.colour for look in shown.values()}
    for axis in plot.axes[columns - 1 : count : columns]:
        _name_ends(axis, colours)
    if count < columns or count % columns:
        _name_ends(plot.axes[count - 1], colours)


def _name_ends(axis: Axes, colours: Mapping[str, str]) -> None:
    handles, names = axis.get_legend_handles_labels()
    low, high = axis.get_ylim()
    ends = []
    for handle, name in zip(handles, names, strict=True):
        container: Any = handle
        line = container[0] if isinstance(handle, tuple) else container
        if (points := [y for y in line.get_ydata() if y == y]) and name in colours:
            ends.append((float((points[-1] - low) / (high - low)), name))
    places = spread([place for place, _ in ends], NAME_GAP)
    for place, (_, name) in zip(places, ends, strict=True):
        font: Any = {"fontsize": 6.5, "fontweight": "bold", "color": colours[name], "va": "center", "ha": "left"}
        axis.text(1.03, place, short_name(name), transform=axis.transAxes, **font)


def _fit_beside(names: Sequence[str]) -> bool:
    return len(names) <= MAX_VARIANTS_BESIDE and max(map(len, names), default=0) <= MAX_CHARS_BESIDE


def _legend_inches(shown: Mapping[str, Look], width: float) -> float:
    """What a legend needs of height beyond its first line."""
    chars = int(LEGEND_CHARS_PER_INCH * width)
    names = [short_name(look.name, chars - 8) for look in shown.values()]
    return 0.0 if _fit_beside(names) else LEGEND_LINE_INCHES * (math.ceil(len(names) / legend_columns(names, chars)) - 1)


def spread(places: Sequence[float], gap: float) -> list[float]:
    """The same places (shares of a height), moved up and down until they are `gap` apart, within 0 and 1 where that is room."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved: list[float] = []
    for index in order:
        moved.append(max(places[index], moved[-1] + gap) if moved else max(places[index], 0.0))
    highest = max(1.0, gap * (len(places) - 1))
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], highest)
        highest = moved[index] - gap
    return [moved[order.index(index)] for index in range(len(places))]
