"""Scores against iteration: the mean of one panel on one set of axes, and one small curve per task."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis import stats
from harness.analysis.frames import Frame, select
from harness.analysis.score_scale import ScoreScale
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.figures import style
from harness.reporting.figures.chosen_font import register_font
from harness.reporting.figures.methods import Look, looks
from harness.reporting.figures.options import DEFAULT, FigureOptions
from harness.reporting.figures.small_panels import make_panels, mark_every, name_curves, small_iteration_axis
from harness.reporting.figures.style import GREY, Drawing, make_drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.analysis.facts import RunResults

MAX_END_LABEL_CHARS = 10
NOTE_CHARS_PER_INCH = 17
MAX_VARIANTS_WITH_ERRORS = 6
MIN_TASK_INCHES, TITLE_CHARS_PER_INCH = 1.3, 10


def plot_panel(
    results: RunResults,
    leaderboard_table: Frame,
    number: int = 0,
    axis: Axes | None = None,
    options: FigureOptions = DEFAULT,
) -> Axes:
    """The stability curves of one panel of a run on `axis`, or on a figure of their own; returns the axes, for Python code.

    Raises UserError where no task enters the mean, or the run has no such panel, and for a width or theme on the caller's axes.
    """
    if axis is not None and (options.widths or options.is_dark):
        raise UserError("width and theme are those of a figure; the axes given have one already: leave ax, or these, out")
    panels, tasks = results.panels, results.averaged_tasks
    if not tasks:
        raise UserError(f"{results.root}: no task of {results.suite['name']} enters a mean, so there is no curve of means")
    if not 0 <= number < len(panels):
        raise UserError(f"{results.root}: panel {number}: expected 0" + (f" to {len(panels) - 1}" if len(panels) > 1 else ""))
    all_looks = looks(results.record["variants"], options.palette, options.is_dark)
    shown = {label: all_looks[label] for label in panels[number]["labels"]}
    has_end_labels = max(len(look.name) for look in shown.values()) <= MAX_END_LABEL_CHARS
    with style.house_style(options):
        width = options.widths[0] if options.widths else style.WIDTH_INCHES
        plot = make_drawing(1, 1, 3.1, width=width) if axis is None else Drawing(axis.figure, [axis])  # type: ignore[arg-type]
        (drawn,) = plot.axes
        seeds, ends = _draw_panel(plot, drawn, shown, leaderboard_table, results.unit_scores, len(tasks))
        style.iteration_axis(drawn, results.record["iterations"])
        drawn.set_xlabel("iteration")
        drawn.set_ylabel(f"mean of {len(tasks)} tasks, %")
        note = textwrap.fill(bars_note(seeds), int(NOTE_CHARS_PER_INCH * width))
        on_given_axes = f"{options.title}\n" if axis is not None and options.title else ""
        drawn.set_title(on_given_axes + note, fontweight="normal", color="#333333")
        if has_end_labels:
            _label_ends(drawn, ends, results.record["iterations"])
        else:
            drawn.legend()
        if axis is None:
            plot.finish(options, options.title)
    if options.font is not None:
        family = register_font(options.font)  # for when the caller saves it
        drawn.tick_params(labelfontfamily=family)
    return drawn


def _draw_panel(
    plot: Drawing, axis: Axes, shown: Mapping[str, Look], leaderboard_table: Frame, unit_scores: Frame, tasks: int
) -> tuple[int, list[tuple[float, Look]]]:
    """Draw the curves on `axis`; returns the largest number of seeds behind a point, and where the curves end."""
    initial_rows = select(leaderboard_table, objective=INITIAL)
    if not initial_rows["mean"].isna().all():
        axis.axhline(100 * initial_rows["mean"].iloc[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    ends: list[tuple[float, Look]] = []
    seeds = 0
    for place, (label, look) in enumerate(shown.items()):
        rows = select(leaderboard_table, objective=label).dropna(subset="mean")
        if rows.empty:
            continue
        seeds = max(seeds, int(rows["seeds"].max()))
        offset = 0.03 * (place - (len(shown) - 1) / 2)
        _draw_curve(plot, axis, pd.concat([initial_rows, rows]), unit_scores, label, look, offset, tasks)
        ends.append((100 * float(rows["mean"].iloc[-1]), look))
    return seeds, ends


def _draw_curve(
    plot: Drawing, axis: Axes, joined: Frame, unit_scores: Frame, label: str, look: Look, offset: float, tasks: int
) -> None:
    has_several_seeds = int(joined["seeds"].max()) > 1
    if has_several_seeds:
        draw_seeds(axis, unit_scores, label, look, tasks)
    draw_band(axis, joined, look)
    bars, positions = None, joined["iteration"]
    if not has_several_seeds:  # bars side by side
        bars, positions = 100 * joined["item_stderr"], positions + offset
    axis.errorbar(positions, 100 * joined["mean"], yerr=bars, capsize=2, elinewidth=0.8, label=look.name, **look.style())
    for x, row in zip(positions, joined.to_dict("records"), strict=True):
        plot.add_tooltip(axis, x, 100 * row["mean"], mean_tooltip(row, look.name))


def draw_seeds(axis: Axes, unit_scores: Frame, label: str, look: Look, tasks: int) -> None:
    """A thin line for every seed, through the iterations that have all tasks of the mean."""
    for _, rows in select(unit_scores, objective=label).groupby("seed"):
        means = rows.groupby("iteration")["value"].agg(["mean", "count"])
        means = means[means["count"] == tasks]
        axis.plot(means.index, 100 * means["mean"], color=look.colour, linewidth=0.5, alpha=0.45)


def draw_band(axis: Axes, joined: Frame, look: Look) -> None:
    if joined["mean_high"].notna().any():
        bounds = joined["iteration"], 100 * joined["mean_low"], 100 * joined["mean_high"]
        axis.fill_between(*bounds, color=look.colour, alpha=0.15, linewidth=0)


def mean_tooltip(row: Mapping[Any, Any], name: str) -> str:
    """What a row of the leaderboard says of the mean. name: of its variant."""
    where = "start" if row["objective"] == INITIAL else f"{name}, iteration {row['iteration']}"
    text = f"{where}: {100 * row['mean']:.1f} %"
    if row["item_stderr"] > 1e-9:  # equal answers give no error estimate
        text += f" ± {100 * row['item_stderr']:.1f} (items)"
    if not pd.isna(row["mean_low"]):
        text += f", {100 * row['mean_low']:.1f} to {100 * row['mean_high']:.1f} over items and {row['seeds']} seeds"
    return text


def bars_note(seeds: int) -> str:
    if seeds >= 3:
        return f"Band: 95 % interval over items and {seeds} seeds. Thin lines: seeds. Dashed: the start."
    if seeds == 2:
        return "Thin lines: the 2 seeds. No interval over seeds: n = 2. Dashed: the start."
    return "Bars: standard error of sampling test items. No interval over seeds: n = 1. Dashed: the start."


def _label_ends(axis: Axes, ends: list[tuple[float, Look]], iterations: int) -> None:
    """Names at the right end of their curves, pushed apart so that none covers another."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.065
    placed = -math.inf
    for value, look in sorted(ends, key=lambda end: end[0]):
        placed = max(value, placed + gap)
        font: Any = {"va": "center", "fontsize": 8, "fontweight": "bold", "color": look.colour}
        axis.annotate(look.name, xy=(iterations - 0.93, placed), xycoords="data", annotation_clip=False, **font)
    axis.set_xlim(-1.25, iterations - 0.75)


def _set_percent_limits(axis: Axes) -> None:
    """At least 20 points from bottom to top, so that noise does not look like a trend, and no more than percent allow."""
    low, high = axis.get_ylim()
    padding = max(0.0, 20 - (high - low)) / 2
    axis.set_ylim(max(-4.0, low - padding), min(104.0, high + padding))
    axis.locator_params(axis="y", nbins=4, integer=True)


def task_curves(
    leaderboard_table: Frame,
    shown: Mapping[str, Look],
    tasks: Sequence[dict],
    iterations: int,
    scales: Mapping[str, ScoreScale],
    scores: Frame | None = None,
    width: float = style.WIDTH_INCHES,
) -> Drawing:
    """One small curve per task, each on axes of its own, with its chance level dotted: in percent, or in the task's own unit
    where that is not a share (scales: by name); a row that is not in the mean has no chance level. scores: scores.csv, for the
    errors, which more than a few variants would hide behind one another's. width: inches."""
    plot, columns = make_panels(len(tasks), width, MIN_TASK_INCHES, 1.55, 5, shown)
    initial_rows = select(leaderboard_table, objective=INITIAL)
    errors = task_bounds(scores) if scores is not None and len(shown) <= MAX_VARIANTS_WITH_ERRORS else None
    for axis, task in zip(plot.axes, tasks, strict=False):
        name = task["name"]
        scale = scales[name]
        factor, unit = (100, " %") if scale.shown_in_percent else (1, f" {task['metric']}")
        if scale.in_mean:
            axis.axhline(factor * task["chance"], color=GREY, linewidth=0.8, linestyle=":")
        for label, look in shown.items():
            label_rows = select(leaderboard_table, objective=label).dropna(subset=name)
            joined: Frame = pd.concat([initial_rows, label_rows])
            marks = mark_every(len(joined))
            axis.plot(joined["iteration"], factor * joined[name], label=look.name, markevery=marks, **look.thin_style())
            if errors is not None:
                _draw_task_errors(axis, select(errors, objective=[INITIAL, label], task=name), look, factor)
            for row in label_rows.to_dict("records"):
                value = f"{100 * row[name]:.1f}" if scale.shown_in_percent else f"{row[name]:.4g}"
                tooltip = f"{task['label']}, {look.name}, iteration {row['iteration']}: {value}{unit}, {row['seeds']} seed(s)"
                plot.add_tooltip(axis, row["iteration"], factor * row[name], tooltip)
        axis.set_title(style.short_name(task["label"], int(TITLE_CHARS_PER_INCH * width / columns)))
        small_iteration_axis(axis, iterations, width / columns)
        if scale.shown_in_percent:
            _set_percent_limits(axis)
        else:
            axis.set_ylabel(f"{task['metric']}, {'higher' if scale.higher_is_better else 'lower'} is better", fontsize=6.5)
    for axis in plot.axes[::columns]:
        if not axis.get_ylabel():
            axis.set_ylabel("%")
    name_curves(plot, len(tasks), columns, shown)
    return plot


def task_bounds(scores: Frame) -> Frame:
    """Errors of every score in scores.csv: objective, iteration, task, seeds, value (mean over seeds), low, high.

    From three seeds on the 95 % interval over seeds, on these items; below, the standard error of sampling items (root mean
    square over seeds); NaN where that is not known.
    """
    rows = []
    for (objective, iteration, task), group in scores.groupby(["objective", "iteration", "task"], sort=False):
        values = group["value"].to_numpy(dtype=float)
        value, seeds = float(values.mean()), len(values)
        interval = stats.interval_of_mean(values)
        if interval is not None:
            low, high = interval
        else:
            error = (
                float((group["stderr"].astype(float) ** 2).mean() ** 0.5) if seeds < stats.MIN_SEEDS_FOR_INTERVAL else math.nan
            )
            low, high = value - error, value + error
        rows.append((objective, iteration, task, seeds, value, low, high))
    return pd.DataFrame(rows, columns=["objective", "iteration", "task", "seeds", "value", "low", "high"])


def _draw_task_errors(axis: Axes, rows: Frame, look: Look, factor: float) -> None:
    """A band over several seeds, bars over items."""
    rows = rows.sort_values("iteration")
    bounds = rows["iteration"], factor * rows["low"], factor * rows["high"]
    if len(rows) and rows["seeds"].max() >= stats.MIN_SEEDS_FOR_INTERVAL:
        axis.fill_between(*bounds, color=look.colour, alpha=0.13, linewidth=0)
    else:
        axis.vlines(*bounds, color=look.colour, linewidth=0.6, alpha=0.7)
