"""A study that chooses a setting: the validation mean against the setting's value, one small panel per objective.

Ringed: the chosen value. Filled: values that the validation items do not tell apart from the best, within its error. A value at
an end of the grid is marked, since a better one may lie outside.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.analysis.frames import Frame, select
from harness.reporting.figures.methods import Look, looks_of_methods
from harness.reporting.figures.style import WIDTH_INCHES, Drawing, make_canvas, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_PANEL_INCHES, ROW_INCHES = 1.5, 1.75
TITLE_CHARS_PER_INCH = 9
DECADES_FOR_LOG = 0.9  # between the smallest and the largest value


def rates_figure(chosen: Frame, criterion: str, looks: Mapping[str, Look], width: float = WIDTH_INCHES) -> Drawing | None:
    """chosen: chosen.csv. criterion: "last" or "best", the iteration that decided. None where nothing is evaluated yet."""
    score = f"validation_{criterion}"
    rows = chosen.dropna(subset=score)
    if rows.empty:
        return None
    objectives = list(dict.fromkeys(rows["objective"]))
    columns = max(1, min(len(objectives), int(width / MIN_PANEL_INCHES)))
    lines = math.ceil(len(objectives) / columns)
    columns = math.ceil(len(objectives) / lines)
    figure: Any = make_canvas(width, ROW_INCHES * lines + 0.45)
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    plot = Drawing(figure, list(axes.flat))
    values = sorted(float(value) for value in chosen["value"].unique())
    for axis, objective in zip(plot.axes, objectives, strict=False):
        look = _look(objective, rows, looks)
        _draw_objective(plot, axis, select(rows, objective=objective).sort_values("value"), look, criterion)
        name = look.method_name if objective == look.method else objective
        axis.set_title(short_name(name, int(width / columns * TITLE_CHARS_PER_INCH)), color=look.colour)
        _value_axis(axis, values, width / columns)
    for axis in plot.axes[len(objectives) :]:
        axis.remove()
    del plot.axes[len(objectives) :]
    for number, axis in enumerate(plot.axes):
        axis.tick_params(labelbottom=number >= len(objectives) - columns)  # of those with no panel below them
    for axis in axes[:, 0]:
        axis.set_ylabel("validation mean, %")
    figure.supxlabel(str(rows["key"].iloc[0]), fontsize=8)
    return plot


def _look(objective: str, rows: Frame, looks: Mapping[str, Look]) -> Look:
    """That of the objective's method: its values are no variants to be told apart by lightness."""
    label = str(select(rows, objective=objective)["label"].iloc[0])
    return looks_of_methods(looks)[looks[label].method] if label in looks else next(iter(looks.values()))


def is_tied(rows: Frame, criterion: str) -> np.ndarray:
    """Of one objective's rows: whether a score is within the best one's standard error of it. The error is known of the last
    iteration alone: by another criterion the best itself is all there is."""
    scores = rows[f"validation_{criterion}"].to_numpy(dtype=float)
    best = int(scores.argmax())
    error = float(rows["item_stderr_last"].iloc[best]) if criterion == "last" else math.nan
    return scores >= scores[best] - (0.0 if math.isnan(error) else error)


def _draw_objective(plot: Drawing, axis: Axes, rows: Frame, look: Look, criterion: str) -> None:
    x, y = rows["value"].to_numpy(dtype=float), 100 * rows[f"validation_{criterion}"].to_numpy(dtype=float)
    errors = 100 * rows["item_stderr_last"].to_numpy(dtype=float) if criterion == "last" else np.full(len(x), np.nan)
    ties = is_tied(rows, criterion)
    best = int(y.argmax())
    if not math.isnan(errors[best]):
        axis.axhspan(y[best] - errors[best], y[best], color=look.colour, alpha=0.13, linewidth=0)
    axis.errorbar(
        x, y, yerr=None if np.isnan(errors).all() else errors, color=look.colour, linewidth=1.1, elinewidth=0.8, capsize=1.5
    )
    for place, row in enumerate(rows.to_dict("records")):
        face = look.colour if ties[place] else "white"
        axis.plot(x[place], y[place], marker="o", markersize=4.5, color=look.colour, markerfacecolor=face, linestyle="")
        if row["chosen"]:
            axis.plot(x[place], y[place], marker="o", markersize=9.5, color=look.colour, markerfacecolor="none", linestyle="")
        if row["at_edge"]:
            side = "left" if x[place] == x.min() else "right"
            font: Any = {"fontsize": 6.5, "color": "#333333", "va": "bottom", "ha": side}
            axis.annotate("edge", (x[place], y[place]), (0, 7.5), textcoords="offset points", **font)
        plot.add_tooltip(axis, x[place], y[place], _tooltip(row, look, y[place], errors[place], bool(ties[place])))


def _tooltip(row: Mapping[Any, Any], look: Look, percent: float, error: float, is_tie: bool) -> str:
    text = f"{look.method_name}, {row['key']} {row['value']:g}: {percent:.1f} %"
    text += "" if math.isnan(error) else f" ± {error:.1f} (items)"
    text += ", chosen" if row["chosen"] else ", not told apart from the best" if is_tie else ""
    return text + (", at the edge of the grid" if row["at_edge"] else "")


def _value_axis(axis: Axes, values: list[float], inches: float) -> None:
    """A tick for every value tried, or for every second one where they would touch."""
    if min(values) > 0 and math.log10(max(values) / min(values)) > DECADES_FOR_LOG:
        axis.set_xscale("log")
    longest = max(len(f"{value:g}") for value in values)
    step = math.ceil(len(values) * (0.058 * longest + 0.05) / (inches - 0.25))
    axis.set_xticks(values, [f"{value:g}" if place % step == 0 else "" for place, value in enumerate(values)])
    axis.set_xticks([], minor=True)
    axis.tick_params(axis="x", labelsize=6.5)
    axis.margins(x=0.1, y=0.16)
    axis.grid(color="#eeeeee")


def rates_caption(chosen: Frame, criterion: str) -> str:
    rows = chosen.dropna(subset=f"validation_{criterion}")
    if criterion == "last":
        errors = "bars: standard error of sampling items; band: within the best one's error, filled: not told apart from it"
    else:
        errors = "no error is known of a best iteration, so no ties are marked"
    seeds = int(rows["seeds"].max()) if len(rows) else 0
    suite = str(rows["suite"].iloc[0]) if len(rows) else ""
    at_edge = [str(name) for name in select(rows, at_edge=True)["objective"]]
    edge = f" At the edge of the grid, so a better value may lie outside: {', '.join(at_edge)}." if at_edge else ""
    return (
        f"Mean of {suite} at the {criterion} iteration, on items that the leaderboard does not use, against "
        f"{rows['key'].iloc[0]}; means over {seeds} seed(s); {errors}; ring: chosen.{edge} Numbers: chosen.csv."
    )
