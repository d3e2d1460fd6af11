"""Scores against iteration: the stability curves, and one small curve per task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.analysis.score_scale import ScoreScale
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.figures import style
from harness.reporting.figures.style import GREY, Drawing, make_drawing, shared_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.analysis.facts import RunResults

MAX_END_LABEL_CHARS = 10


def stability_curves(
    leaderboard_table: Frame, unit_scores: Frame, panels: Sequence[dict[str, Any]], tasks: Sequence[dict], iterations: int
) -> Drawing:
    """Mean over tasks against iteration: does an objective get better, and does it stay so? One set of axes per panel.
    unit_scores: scores.csv of the tasks that the mean is taken over, each value a share of 1.

    Bars: standard error of sampling items (one seed) or the 95 % interval over items and seeds (three or more). With several
    seeds each is a thin line.
    """
    is_single = len(panels) == 1
    plot = make_drawing(1, len(panels), 3.1 if is_single else 2.6, sharey=True)
    has_end_labels = is_single and fits_end_labels(panels[0])
    seeds = 0
    for axis, panel in zip(plot.axes, panels, strict=True):
        in_panel = draw_panel(plot, axis, panel, leaderboard_table, unit_scores, len(tasks), iterations, has_end_labels)
        seeds = max(seeds, in_panel)
    plot.axes[0].set_ylabel(f"mean of {len(tasks)} tasks, %")
    if not has_end_labels:  # one entry per colour: the second panel's names are the first's at other settings
        shared_legend(plot, plot.axes[0], len(panels[0]["labels"]))
    if is_single:
        plot.axes[0].set_title(bars_note(seeds), fontweight="normal", color="#333333")
    else:
        plot.figure.suptitle(bars_note(seeds), fontsize=8, color="#333333", x=0.01, ha="left")
    return plot


def plot_panel(results: RunResults, leaderboard_table: Frame, number: int = 0, axis: Axes | None = None) -> Axes:
    """The stability curves of one panel of a run on `axis`, or on a figure of their own; returns the axes, for Python code.

    Raises UserError where no task enters the mean, or the run has no such panel.
    """
    panels, tasks = results.panels, results.averaged_tasks
    if not tasks:
        raise UserError(f"{results.root}: no task of {results.suite['name']} enters a mean, so there is no curve of means")
    if not 0 <= number < len(panels):
        raise UserError(f"{results.root}: panel {number}: expected 0" + (f" to {len(panels) - 1}" if len(panels) > 1 else ""))
    panel = panels[number]
    has_end_labels = fits_end_labels(panel)
    with style.house_style():
        plot = make_drawing(1, 1, 3.1) if axis is None else Drawing(axis.figure, [axis])  # type: ignore[arg-type]
        (drawn,) = plot.axes
        panel_only = {**panel, "title": ""}
        seeds = draw_panel(
            plot,
            drawn,
            panel_only,
            leaderboard_table,
            results.unit_scores,
            len(tasks),
            results.record["iterations"],
            has_end_labels,
        )
        drawn.set_ylabel(f"mean of {len(tasks)} tasks, %")
        drawn.set_title(bars_note(seeds), fontweight="normal", color="#333333")
        if not has_end_labels:
            drawn.legend()
        if axis is None:
            plot.disable_mathtext()
    return drawn


def fits_end_labels(panel: Mapping[str, Any]) -> bool:
    """Whether the names of a panel's variants are short enough to stand at the ends of their curves, in place of a legend."""
    return max(map(len, panel["labels"])) <= MAX_END_LABEL_CHARS


def draw_panel(
    plot: Drawing, axis: Axes, panel: Mapping[str, Any], leaderboard_table: Frame, unit_scores: Frame, tasks: int,
    iterations: int, has_end_labels: bool,
) -> int:  # fmt: skip
    """Draw the curves of one panel on `axis`; returns the largest number of seeds behind a point."""
    labels = panel["labels"]
    initial_rows = select(leaderboard_table, objective=INITIAL)
    if not initial_rows["mean"].isna().all():
        axis.axhline(100 * initial_rows["mean"].iloc[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    ends: list[tuple[float, str]] = []
    seeds = 0
    for label in labels:
        rows = select(leaderboard_table, objective=label).dropna(subset="mean")
        if rows.empty:
            continue
        seeds = max(seeds, int(rows["seeds"].max()))
        _draw_curve(plot, axis, pd.concat([initial_rows, rows]), unit_scores, label, labels, tasks)
        ends.append((100 * float(rows["mean"].iloc[-1]), label))
    style.iteration_axis(axis, iterations)
    axis.set_xlabel("iteration")
    if panel["title"]:
        axis.set_title(panel["title"])
    if has_end_labels:
        _label_ends(axis, ends, labels, iterations)
    return seeds


def _draw_curve(
    plot: Drawing, axis: Axes, joined: Frame, unit_scores: Frame, label: str, labels: Sequence[str], tasks: int
) -> None:
    look = style.line_style(labels, label)
    has_several_seeds = int(joined["seeds"].max()) > 1
    for _, rows in select(unit_scores, objective=label).groupby("seed") if has_several_seeds else ():
        means = rows.groupby("iteration")["value"].agg(["mean", "count"])
        means = means[means["count"] == tasks]
        axis.plot(means.index, 100 * means["mean"], color=look["color"], linewidth=0.5, alpha=0.45)
    low, high = joined["mean_low"], joined["mean_high"]
    if high.notna().any():
        axis.fill_between(joined["iteration"], 100 * low, 100 * high, color=look["color"], alpha=0.15, linewidth=0)
    bars, positions = None, joined["iteration"]
    if not has_several_seeds:  # bars side by side
        bars = 100 * joined["item_stderr"]
        positions = positions + 0.03 * (labels.index(label) - (len(labels) - 1) / 2)
    axis.errorbar(positions, 100 * joined["mean"], yerr=bars, capsize=2, elinewidth=0.8, label=label, **look)
    for x, row in zip(positions, joined.to_dict("records"), strict=True):
        where = "initial policy" if row["objective"] == INITIAL else f"{label}, iteration {row['iteration']}"
        tooltip = f"{where}: {100 * row['mean']:.1f} %"
        if row["item_stderr"] > 1e-9:  # equal answers give no error estimate
            tooltip += f" ± {100 * row['item_stderr']:.1f} (items)"
        if not pd.isna(row["mean_low"]):
            tooltip += f", {100 * row['mean_low']:.1f} to {100 * row['mean_high']:.1f} over items and {row['seeds']} seeds"
        plot.add_tooltip(axis, x, 100 * row["mean"], tooltip)


def bars_note(seeds: int) -> str:
    if seeds >= 3:
        return f"Band: 95 % interval over items and {seeds} seeds. Thin lines: seeds. Dashed: initial policy."
    if seeds == 2:
        return "Thin lines: the 2 seeds. No interval over seeds: n = 2. Dashed: initial policy."
    return "Bars: standard error of sampling test items. No interval over seeds: n = 1. Dashed: initial policy."


def _label_ends(axis: Axes, ends: list[tuple[float, str]], labels: Sequence[str], iterations: int) -> None:
    """Names at the right end of their curves, pushed apart so that none covers another."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.065
    placed = -math.inf
    for value, label in sorted(ends):
        placed = max(value, placed + gap)
        font: Any = {"va": "center", "fontsize": 8, "fontweight": "bold", "color": style.line_style(labels, label)["color"]}
        axis.annotate(label, xy=(iterations - 0.93, placed), xycoords="data", annotation_clip=False, **font)
    axis.set_xlim(-1.25, iterations - 0.75)


def _set_percent_limits(axis: Axes) -> None:
    """At least 20 points from bottom to top, so that noise does not look like a trend, and no more than percent allow."""
    low, high = axis.get_ylim()
    padding = max(0.0, 20 - (high - low)) / 2
    axis.set_ylim(max(-4.0, low - padding), min(104.0, high + padding))
    axis.locator_params(axis="y", nbins=4, integer=True)


def task_curves(
    leaderboard_table: Frame, labels: Sequence[str], tasks: Sequence[dict], iterations: int, scales: Mapping[str, ScoreScale]
) -> Drawing:
    """One small curve per task, each on axes of its own, with its chance level dotted: in percent, or in the task's own unit
    where that is not a share (scales: by name); a row that is not in the mean has no chance level."""
    columns = min(5, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    plot = make_drawing(rows, columns, 1.55 * rows + 0.45, sharex=True)
    initial_rows = select(leaderboard_table, objective=INITIAL)
    for axis, task in zip(plot.axes, tasks, strict=False):
        name = task["name"]
        scale = scales[name]
        factor, unit = (100, " %") if scale.shown_in_percent else (1, f" {task['metric']}")
        if scale.in_mean:
            axis.axhline(factor * task["chance"], color=GREY, linewidth=0.8, linestyle=":")
        for label in labels:
            label_rows = select(leaderboard_table, objective=label).dropna(subset=name)
            joined: Frame = pd.concat([initial_rows, label_rows])
            axis.plot(joined["iteration"], factor * joined[name], label=label, **style.thin_style(labels, label))
            for row in label_rows.to_dict("records"):
                value = f"{100 * row[name]:.1f}" if scale.shown_in_percent else f"{row[name]:.4g}"
                tooltip = f"{task['label']}, {label}, iteration {row['iteration']}: {value}{unit}, {row['seeds']} seed(s)"
                plot.add_tooltip(axis, row["iteration"], factor * row[name], tooltip)
        axis.set_title(task["label"])
        style.iteration_ticks(axis, iterations, "i")
        if scale.shown_in_percent:
            _set_percent_limits(axis)
        else:
            axis.set_ylabel(f"{task['metric']}, {'higher' if scale.higher_is_better else 'lower'} is better", fontsize=6.5)
    for axis in plot.axes[len(tasks) :]:
        axis.set_visible(False)
    for axis in plot.axes[max(0, len(tasks) - columns) : len(tasks)]:
        axis.tick_params(labelbottom=True)  # those without a curve below them
    for axis in plot.axes[::columns]:
        if not axis.get_ylabel():
            axis.set_ylabel("%")
    shared_legend(plot, plot.axes[0], len(labels))
    return plot
