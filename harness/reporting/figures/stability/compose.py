"""The parts of the stability figure on one canvas: below each other in a column, b and c side by side where there is room."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.reporting.figures.stability.changes import draw_changes
from harness.reporting.figures.stability.curves import (
    LEGEND_LINE_INCHES,
    draw_curves,
    legend_lines,
)
from harness.reporting.figures.stability.forest import differences, draw_forest
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import Drawing, make_canvas, short_name

WIDTHS_INCHES = (7.0, 5.5, 3.25)  # of a page, of a paper's text, of one of two columns
MIN_AXES_INCHES = 1.08
ROW_INCHES, HEAD_INCHES = 1.75, 0.35
LINE_INCHES, NARROW_LINE_INCHES, TWO_LINES_INCHES, MAX_WIDE_ROWS = 0.19, 0.15, 0.27, 10
MIN_WIDTH_SIDE_BY_SIDE = 5.0
CHARS_PER_INCH = 19


def stability_figure(numbers: StabilityNumbers, width: float = WIDTHS_INCHES[0]) -> Drawing:
    """Does an objective get better, does it last (a), is it better than the baseline (b), and in what (c)? width: inches."""
    methods, compared = len(numbers.methods()), len(differences(numbers))
    columns = max(1, min(methods, int(width / MIN_AXES_INCHES)))
    rows = math.ceil(methods / columns)
    columns = math.ceil(methods / rows)  # as many in the last row as in the others, or nearly
    upper = (ROW_INCHES + LEGEND_LINE_INCHES * legend_lines(numbers)) * rows + HEAD_INCHES
    side_by_side = width >= MIN_WIDTH_SIDE_BY_SIDE
    share = width / 2 if side_by_side else width
    chars = max(9, int(12 * (share - 1.9)))  # of a name beside the axes of b and c, with the numbers to the right
    names = [short_name(numbers.looks[label].name, chars, lines=2) for label in numbers.labels]
    one_line = LINE_INCHES if compared <= MAX_WIDE_ROWS else NARROW_LINE_INCHES
    row = TWO_LINES_INCHES if any("\n" in name for name in names) else one_line
    forest, change = 0.8 + row * compared, 0.95 + row * methods
    lower = (max(forest, change) if side_by_side else forest + change) if compared else 0.0
    figure: Any = make_canvas(width, upper + lower)
    parts = figure.subfigures(2, 1, height_ratios=[upper, lower]) if compared else [figure]
    axes = parts[0].subplots(rows, columns, squeeze=False, sharey=True)
    plot = Drawing(figure, list(axes.flat))
    for axis in plot.axes[methods:]:
        axis.set_visible(False)
    draw_curves(plot, plot.axes, numbers, width / columns)
    for axis in axes[:, 0]:
        axis.set_ylabel(f"mean of {len(numbers.tasks)} tasks, %", fontsize=7)
    parts[0].supxlabel("iteration", fontsize=7)
    _head(parts[0], "a", curves_note(numbers), width)
    if compared:
        shape = (
            {"nrows": 1, "ncols": 2, "width_ratios": [1, 1.12]}
            if side_by_side
            else {"nrows": 2, "height_ratios": [forest, change]}
        )
        left, right = parts[1].subfigures(**shape)
        plot.axes += [left.subplots(), right.subplots()]
        draw_forest(plot, plot.axes[-2], numbers, chars)
        draw_changes(plot, plot.axes[-1], numbers, chars)
        _head(left, "b", "last iteration; grey: within a point; p: Holm", share)
        _head(right, "c", "points from start to last iteration, by task", share)
    return plot


def curves_note(numbers: StabilityNumbers) -> str:
    """What is drawn in part a."""
    seeds = max(map(numbers.seeds, numbers.labels), default=0)
    parts = [f"{'band' if numbers.is_long else 'bars'}: s.e. over items, one seed" if seeds == 1 else f"thin: {seeds} seeds"]
    parts += ["band: 95 %, items and seeds"] if seeds >= MIN_SEEDS_FOR_INTERVAL else []
    parts += [f"grey: {short_name(numbers.looks[numbers.baseline].name)}"] if numbers.baseline else []
    parts += ["dotted: start"]
    cross = "✕: first collapse" if numbers.is_long else "✕: collapse"
    parts += [f"{cross}, of so many seeds" if seeds > 1 else cross] if numbers.has_collapse else []
    parts += ["fall: a seed's largest"] if numbers.iterations > 1 else []
    return "; ".join(parts)


def _head(part: Any, letter: str, note: str, width: float) -> None:
    """The letter and what is drawn, in as many lines as the width takes."""
    lines = textwrap.fill(note, int(width * CHARS_PER_INCH), initial_indent=f"{letter}   ", subsequent_indent="     ")
    part.suptitle(lines, x=0.005, ha="left", fontsize=7, color="#333333")


def stability_caption(items: str) -> str:
    """items: the sentence about the number of items."""
    return (
        f"a: mean over the tasks, one method to a panel; {items}. b: difference at the last "
        "iteration, paired over the same items and seeds; p after Holm's correction for all pairs. c: change of every task from "
        "the start to the last iteration. Numbers: leaderboard.csv, comparisons.csv, collapse.csv; their origin: scores.csv."
    )
