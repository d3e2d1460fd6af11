"""Score against distance: what each objective's mean costs in divergence from the start, a path per objective."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.analysis.frames import Frame, select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.reporting.figures.labels import PointLabel, along
from harness.reporting.figures.methods import Look, looks_of_methods
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import GREY, WIDTH_INCHES, Drawing, make_canvas, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KL_NAME = "kl_initial"  # in drift.csv
KL_FIGURE = "score_against_kl"  # in plots/
MAX_HEIGHT_INCHES, MIN_HEIGHT_INCHES, HEIGHT_OF_WIDTH = 3.2, 2.7, 0.62
LABEL_INCHES = 0.2  # of height, for every name
MAX_ITERATIONS_WITH_BARS = 10  # where there are more, the last alone has its bars and its mark
MIN_HIGHEST_NATS = 1e-3  # policies that have not moved at all still have an axis
TICK_DIGITS = (1, 2, 5)
INCHES_PER_TICK = 0.34
MIN_WIDTH_ONE_LINE = 4.0


def kl_paths(numbers: StabilityNumbers, drift: Frame) -> dict[str, Frame]:
    """Label -> its path: a row per iteration that has a mean and a KL, the initial policy first, at 0 by definition.

    Columns: iteration; x, x_low, x_high in nats per response; y, y_low, y_high in percent. Bounds: the 95 % interval from three
    seeds on, else the standard error, over prompts for KL and over items for the mean; NaN where there is neither.
    """
    paths = {}
    start = numbers.initial
    for label in numbers.labels:
        kl = select(drift, objective=label, name=KL_NAME).dropna(subset="value")
        rows = numbers.finished(label).merge(kl, on="iteration", suffixes=("", "_kl"))
        if rows.empty:
            continue
        y = _bounds(rows["mean"], rows["item_stderr"], rows["mean_low"], rows["mean_high"])
        x = _bounds(rows["value"], rows["stderr"], rows["low"], rows["high"])
        columns = {"iteration": rows["iteration"], **{f"x{end}": one for end, one in x.items()}}
        path = pd.DataFrame(columns | {f"y{end}": 100 * one for end, one in y.items()}).sort_values("iteration")
        if len(start):
            first = _bounds(start["mean"], start["item_stderr"], start["mean_low"], start["mean_high"])
            zero = {"iteration": -1, "x": 0.0, "x_low": np.nan, "x_high": np.nan}
            zero |= {f"y{end}": 100 * float(one.iloc[0]) for end, one in first.items()}
            path = pd.concat([pd.DataFrame([zero]), path], ignore_index=True)
        paths[label] = path
    return paths


def _bounds(value: Any, stderr: Any, low: Any, high: Any) -> dict[str, Any]:
    value, stderr, low, high = (column.astype(float) for column in (value, stderr, low, high))
    return {"": value, "_low": low.fillna(value - stderr), "_high": high.fillna(value + stderr)}


def score_against_kl(numbers: StabilityNumbers, drift: Frame, width: float = WIDTH_INCHES) -> Drawing | None:
    """None where no iteration has both numbers. width: inches."""
    paths = kl_paths(numbers, drift)
    if not paths:
        return None
    height = min(max(HEIGHT_OF_WIDTH * width, MIN_HEIGHT_INCHES), MAX_HEIGHT_INCHES)
    figure: Any = make_canvas(width, max(height, 1.0 + LABEL_INCHES * len(paths)))
    axis = figure.subplots()
    plot = Drawing(figure, [axis])
    measured = [float(x) for path in paths.values() for x in path["x"]]
    lowest, highest = min(*measured, 0.0), max(*measured, MIN_HIGHEST_NATS)
    axis.set_xscale("function", functions=(_squeeze, _stretch))
    low, high = _squeeze(lowest), _squeeze(highest)
    axis.set_xlim(*_stretch(np.array([low - 0.03 * (high - low), high + 0.18 * (high - low)])))
    ends, first_looks = [], looks_of_methods(numbers.looks)
    for label, path in paths.items():
        look = numbers.looks[label]
        _draw_path(plot, axis, path, look)
        name = short_name(look.name, max(10, int(6 * width)))
        end = path.iloc[-1]
        ends.append(PointLabel(float(end["x"]), float(end["y"]), name, first_looks[look.method].colour))
    if len(numbers.initial):
        start = float(100 * numbers.initial["mean"].iloc[0])
        axis.plot([0], [start], marker="D", markersize=4.5, color=GREY, linestyle="", zorder=6)
        ends.append(PointLabel(0, start, "start", GREY, weight="normal"))
    axis.margins(y=0.12)
    ticks = _ticks(highest, INCHES_PER_TICK / width)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.grid(visible=True, axis="both")
    unit = str(select(drift, name=KL_NAME)["unit"].iloc[0])
    axis.set_xlabel(f"KL(policy ‖ start), {unit}{'; ' if width > MIN_WIDTH_ONE_LINE else chr(10)}logarithmic from 1 on")
    axis.set_ylabel(f"mean of {len(numbers.tasks)} tasks, %")
    plot.add_labels(axis, ends, _obstacles(paths.values()))
    return plot


def _draw_path(plot: Drawing, axis: Axes, path: Frame, look: Look) -> None:
    trained = path[path["iteration"] >= 0]
    with_bars = trained if len(trained) <= MAX_ITERATIONS_WITH_BARS else trained.tail(1)
    bars: Any = {"color": look.colour, "linewidth": 0.6, "alpha": 0.75, "zorder": 2}
    axis.hlines(with_bars["y"], with_bars["x_low"], with_bars["x_high"], **bars)
    axis.vlines(with_bars["x"], with_bars["y_low"], with_bars["y_high"], **bars)
    is_long = len(trained) > MAX_ITERATIONS_WITH_BARS
    thin: Any = {"linewidth": 0.6, "alpha": 0.45} if is_long else {"linewidth": 1.2}
    axis.plot(path["x"], path["y"], color=look.colour, linestyle=look.line, zorder=3, **thin)
    small = trained.iloc[:0] if is_long else trained.iloc[:-1]
    axis.plot(small["x"], small["y"], color=look.colour, marker=look.marker, markersize=2.6, linestyle="", zorder=4)
    last = path.tail(1)
    axis.plot(
        last["x"], last["y"], color=look.colour, marker=look.marker, markersize=6, markeredgecolor="white", markeredgewidth=0.7,
        linestyle="", zorder=5,
    )  # fmt: skip
    for row in path.to_dict("records"):
        where = f"{look.name}, iteration {row['iteration']}" if row["iteration"] >= 0 else "start"
        plot.add_tooltip(axis, row["x"], row["y"], f"{where}: {row['y']:.1f} %, KL {row['x']:.3g} nats")


def _obstacles(paths: Iterable[Frame]) -> np.ndarray:
    """What a name should not cover: the paths, and the last bars."""
    lines = []
    for path in paths:
        end = path.iloc[-1]
        lines += [(_squeeze(path["x"]), path["y"]), (_squeeze(end[["x_low", "x_high"]].astype(float)), [end["y"]] * 2)]
        lines += [(_squeeze([end["x"]] * 2), end[["y_low", "y_high"]].astype(float))]
    points = along(lines)
    points = points[np.isfinite(points).all(axis=1)]
    return np.column_stack([_stretch(points[:, 0]), points[:, 1]])


def _squeeze(nats: Any) -> Any:
    """Linear to 1 nat, then logarithmic: the start is at 0, an estimate of a small KL may fall below it, and 200 nats is near."""
    size = np.abs(nats)
    return np.sign(nats) * np.where(size <= 1, size, 1 + np.log10(np.maximum(size, 1)))


def _stretch(place: Any) -> Any:
    """The inverse of `_squeeze`."""
    size = np.abs(place)
    return np.sign(place) * np.where(size <= 1, size, 10.0 ** (np.maximum(size, 1) - 1))


def _ticks(highest: float, gap: float) -> list[float]:
    """0, then round numbers that stand apart by the share `gap` of the axis."""
    ticks, last = [0.0], 0.0
    decades = range(-6, 7)
    for tick in (digit * 10.0**decade for decade in decades for digit in TICK_DIGITS):
        if tick <= 1.3 * highest and _squeeze(tick) - _squeeze(last) > gap * 1.2 * _squeeze(highest):
            ticks.append(tick)
            last = tick
    return ticks


def score_against_kl_caption(drift: Frame, leaderboard: Frame, iterations: int, items: str) -> str:
    """What is drawn, with n and errors. drift, leaderboard: of the variants shown. items: the words about the number of items."""
    prompts = sorted({int(n) for n in select(drift, name=KL_NAME)["n"]})
    finished = leaderboard.dropna(subset="mean")
    seeds = int(finished["seeds"].max()) if len(finished) else 0
    if seeds >= MIN_SEEDS_FOR_INTERVAL:
        bars = f"bars: 95 % intervals, of the mean over items and {seeds} seeds, of KL over seeds on these prompts"
    else:
        bars = f"bars: standard errors, of the mean over items, of KL over prompts; {seeds} seed(s), so no interval over seeds"
    if iterations > MAX_ITERATIONS_WITH_BARS:
        bars += "; bars and marks are drawn at the last iteration alone"
    several = "–".join(str(n) for n in dict.fromkeys((prompts[0], prompts[-1]))) if prompts else "0"
    return (
        "Mean over tasks against KL(policy ‖ start), a point per iteration, a path per objective from the start (grey "
        f"diamond, KL 0) to the last iteration (large mark); {items}; KL over {several} held-out prompts, one sampled response "
        f"each; {bars}. Up and to the left is better. Numbers: leaderboard.csv, drift.csv (kl_initial)."
    )
