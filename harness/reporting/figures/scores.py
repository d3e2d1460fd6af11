"""Scores against iteration: the stability curves, and one small curve per task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.score_scale import Scale
from harness.records import INITIAL
from harness.reporting.figures.style import GREY, Drawing, drawing, iteration_axis, iteration_ticks, look, shared_legend, small

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from harness.analysis.facts import Frame

LONGEST_END_LABEL = 10


def stability_curves(
    board: Frame, shares: Frame, panels: Sequence[dict[str, Any]], tasks: Sequence[dict], iterations: int
) -> Drawing:
    """Mean over tasks against iteration: does an objective get better, and does it stay so? One set of axes per panel. shares:
    scores.csv of the tasks that the mean is taken over, each value a share of 1.

    Bars: standard error of sampling items (one seed) or the 95 % interval over items and seeds (three or more). With several
    seeds each is a thin line.
    """
    made = drawing(1, len(panels), 3.1 if len(panels) == 1 else 2.6, sharey=True)
    start: Frame = board[board["objective"] == INITIAL]
    seeds = 0
    for axis, panel in zip(made.axes, panels, strict=True):
        labels = panel["labels"]
        if not start["mean"].isna().all():
            axis.axhline(100 * start["mean"].iloc[0], color=GREY, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        ends: list[tuple[float, str]] = []
        for label in labels:
            rows = board[(board["objective"] == label) & board["mean"].notna()]
            if rows.empty:
                continue
            seeds = max(seeds, int(rows["seeds"].max()))
            _one_curve(made, axis, pd.concat([start, rows]), shares, label, labels, len(tasks))
            ends.append((100 * float(rows["mean"].iloc[-1]), label))
        iteration_axis(axis, iterations)
        axis.set_xlabel("iteration")
        if panel["title"]:
            axis.set_title(panel["title"])
        if len(panels) == 1 and max(map(len, labels)) <= LONGEST_END_LABEL:
            _label_ends(axis, ends, labels, iterations)
    first = made.axes[0]
    first.set_ylabel(f"mean of {len(tasks)} tasks, %")
    if len(panels) > 1 or max(map(len, panels[0]["labels"])) > LONGEST_END_LABEL:
        _legend_of_all(made, panels)
    what = _what_bars_mean(seeds)
    if len(panels) == 1:
        first.set_title(what, fontweight="normal", color="#333333")
    else:
        made.figure.suptitle(what, fontsize=8, color="#333333", x=0.01, ha="left")
    return made


def _legend_of_all(made: Drawing, panels: Sequence[dict[str, Any]]) -> None:
    """One entry per colour: the second panel's names are the first's at other settings."""
    shared_legend(made, made.axes[0], len(panels[0]["labels"]))


def _one_curve(made: Drawing, axis: Axes, joined: Frame, shares: Frame, label: str, labels: Sequence[str], tasks: int) -> None:
    style = look(labels, label)
    several = int(joined["seeds"].max()) > 1
    if several:
        _thin_lines(axis, shares, label, tasks, style["color"])
    low, high = joined["mean_low"], joined["mean_high"]
    if high.notna().any():
        axis.fill_between(joined["iteration"], 100 * low, 100 * high, color=style["color"], alpha=0.15, linewidth=0)
    error = None if several else 100 * joined["item_stderr"]
    beside = joined["iteration"]
    if error is not None:  # bars side by side
        beside = beside + 0.03 * (labels.index(label) - (len(labels) - 1) / 2)
    axis.errorbar(beside, 100 * joined["mean"], yerr=error, capsize=2, elinewidth=0.8, label=label, **style)
    for x, row in zip(beside, joined.to_dict("records"), strict=True):
        when = "initial policy" if row["objective"] == INITIAL else f"{label}, iteration {row['iteration']}"
        said = f"{when}: {100 * row['mean']:.1f} %"
        if row["item_stderr"] > 1e-9:  # all answers alike show no error
            said += f" ± {100 * row['item_stderr']:.1f} (items)"
        if not pd.isna(row["mean_low"]):
            said += f", {100 * row['mean_low']:.1f} to {100 * row['mean_high']:.1f} over items and {row['seeds']} seeds"
        made.say(axis, x, 100 * row["mean"], said)


def _what_bars_mean(seeds: int) -> str:
    if seeds >= 3:
        return f"Band: 95 % interval over items and {seeds} seeds. Thin lines: seeds. Dashed: initial policy."
    if seeds == 2:
        return "Thin lines: the 2 seeds. No interval over seeds: n = 2. Dashed: initial policy."
    return "Bars: standard error of sampling test items. No interval over seeds: n = 1. Dashed: initial policy."


def _thin_lines(axis: Axes, shares: Frame, label: str, tasks: int, colour: str) -> None:
    mine = shares[shares["objective"] == label]
    for _, rows in mine.groupby("seed"):
        whole = rows.groupby("iteration")["value"].agg(["mean", "count"])
        whole = whole[whole["count"] == tasks]
        axis.plot(whole.index, 100 * whole["mean"], color=colour, linewidth=0.5, alpha=0.45)


def _label_ends(axis: Axes, ends: list[tuple[float, str]], labels: Sequence[str], iterations: int) -> None:
    """Names at the right end of their curves, pushed apart so that none covers another."""
    low, high = axis.get_ylim()
    gap = (high - low) * 0.065
    placed = -math.inf
    for value, label in sorted(ends):
        placed = max(value, placed + gap)
        axis.annotate(
            label,
            xy=(iterations - 0.93, placed),
            xycoords="data",
            color=look(labels, label)["color"],
            va="center",
            fontsize=8,
            fontweight="bold",
            annotation_clip=False,
        )
    axis.set_xlim(-1.25, iterations - 0.75)


def _room(axis: Axes, least: float = 20.0) -> None:
    """At least `least` points from bottom to top, so that noise does not look like a trend, and no more than percent allow."""
    low, high = axis.get_ylim()
    spare = max(0.0, least - (high - low)) / 2
    axis.set_ylim(max(-4.0, low - spare), min(104.0, high + spare))
    axis.locator_params(axis="y", nbins=4, integer=True)


def task_curves(
    board: Frame, labels: Sequence[str], tasks: Sequence[dict], iterations: int, scales: Mapping[str, Scale] | None = None
) -> Drawing:
    """One small curve per task, each on axes of its own, with its chance level dotted: in percent, or in the task's own unit
    where that is no share (scales: by name); a row that stands beside the mean has no chance level."""
    columns = min(5, len(tasks))
    rows = math.ceil(len(tasks) / columns)
    made = drawing(rows, columns, 1.55 * rows + 0.45, sharex=True)
    start = board[board["objective"] == INITIAL]
    for axis, task in zip(made.axes, tasks, strict=False):
        name = task["name"]
        scale = (scales or {}).get(name, Scale())
        times, unit = (100, " %") if scale.percent else (1, f" {task['metric']}")
        if scale.counted:
            axis.axhline(times * task["chance"], color=GREY, linewidth=0.8, linestyle=":")
        for label in labels:
            here = board[(board["objective"] == label) & board[name].notna()]
            joined: Frame = pd.concat([start, here])
            axis.plot(joined["iteration"], times * joined[name], label=label, **small(labels, label))
            for row in here.to_dict("records"):
                value = f"{100 * row[name]:.1f}" if scale.percent else f"{row[name]:.4g}"
                said = f"{task['label']}, {label}, iteration {row['iteration']}: {value}{unit}, {row['seeds']} seed(s)"
                made.say(axis, row["iteration"], times * row[name], said)
        axis.set_title(task["label"])
        iteration_ticks(axis, iterations, "i")
        if scale.percent:
            _room(axis)
        else:
            axis.set_ylabel(f"{task['metric']}, {'higher' if scale.higher else 'lower'} is better", fontsize=6.5)
    for axis in made.axes[len(tasks) :]:
        axis.set_visible(False)
    for axis in made.axes[max(0, len(tasks) - columns) : len(tasks)]:
        axis.tick_params(labelbottom=True)  # those without a curve below them
    for axis in made.axes[::columns]:
        if not axis.get_ylabel():
            axis.set_ylabel("%")
    shared_legend(made, made.axes[0], len(labels))
    return made
