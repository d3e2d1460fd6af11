"""Part a: the mean over tasks against iteration, one set of axes per method, the baseline in grey behind every other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.records import INITIAL
from harness.reporting.figures.scores import draw_band, draw_seeds, mean_tooltip
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import GREY, Drawing, iteration_axis, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLLAPSE_COLOUR = "#b00020"
BASELINE_GREY = "#8c8c8c"
MIN_INCHES_IN_A_LINE = 1.6  # for "last 51.6 · fall 0.5  ✕ 4/5"
INCHES_PER_TICK = 0.2
NAME_CHARS_PER_INCH = 14
TITLE_CHARS_PER_INCH = 7
LEGEND_LINE_INCHES = 0.105


def draw_curves(plot: Drawing, axes: Sequence[Axes], numbers: StabilityNumbers, inches: float) -> None:
    """One method on each of the axes, which share their y axis. inches: from one of the axes to the next."""
    is_narrow = INCHES_PER_TICK * numbers.iterations < inches < 0.28 * (numbers.iterations + 1)
    between = " · " if inches > MIN_INCHES_IN_A_LINE else "\n"
    for axis, (method, labels) in zip(axes, numbers.methods().items(), strict=False):
        look = numbers.looks[labels[0]]
        _draw_initial(axis, numbers)
        if numbers.baseline is not None and numbers.looks[numbers.baseline].method != method:
            rows = numbers.curve(numbers.baseline)
            axis.plot(rows["iteration"], 100 * rows["mean"], color=BASELINE_GREY, linewidth=1.2, zorder=2)
        for label in labels:
            _draw_variant(plot, axis, numbers, label)
        collapsed = max((n for label in labels for n in numbers.collapsed_seeds(label).values()), default=0)
        _write_head(axis, numbers, labels[0], collapsed, between)
        if len(labels) > 1 and axis.get_legend_handles_labels()[0]:
            _name_variants(axis, look.method_name, inches)
        iteration_axis(axis, numbers.iterations, "start", at_most=int(inches / INCHES_PER_TICK))
        axis.tick_params(labelsize=6.5)
        axis.get_xticklabels()[0].set_horizontalalignment("right" if is_narrow else "center")  # not over the 0 beside it
        axis.set_title(
            short_name(look.method_name, int(inches * TITLE_CHARS_PER_INCH)),
            color=look.colour,
            fontsize=8.5,
            pad=11 if between != "\n" else 22,
        )


def legend_lines(numbers: StabilityNumbers) -> int:
    """Lines below the axes of the method with the most variants, 0 where each has one."""
    most = max((len(labels) for labels in numbers.methods().values()), default=1)
    return most if most > 1 else 0


def _name_variants(axis: Axes, method: str, inches: float) -> None:
    """The variants' settings below the axes: a legend in so small a panel would cover the curves."""
    handles, names = axis.get_legend_handles_labels()
    lines: Any = [getattr(handle, "lines", [handle])[0] for handle in handles]  # without the bars
    names = [short_name(name.removeprefix(f"{method}, "), int(inches * NAME_CHARS_PER_INCH)) for name in names]
    axis.legend(
        lines, names, loc="upper left", bbox_to_anchor=(-0.1, -0.16), fontsize=5.5, handlelength=2.4, handletextpad=0.4,
        labelspacing=0.15, borderpad=0.1, borderaxespad=0.2,
    )  # fmt: skip


def _draw_initial(axis: Axes, numbers: StabilityNumbers) -> None:
    if len(numbers.initial):
        axis.axhline(100 * numbers.initial["mean"].iloc[0], color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)


def _draw_variant(plot: Drawing, axis: Axes, numbers: StabilityNumbers, label: str) -> None:
    look, rows = numbers.looks[label], numbers.curve(label)
    trained = rows[rows["objective"] != INITIAL]
    if trained.empty:
        return
    several = numbers.seeds(label) > 1
    if look.rank == 0:
        if several:
            draw_seeds(axis, numbers.unit_scores, label, look, len(numbers.tasks))
        draw_band(axis, rows, look)
    is_long, mean, error = numbers.is_long, 100 * rows["mean"], 100 * rows["item_stderr"]
    if is_long and not several and look.rank == 0:
        axis.fill_between(rows["iteration"], mean - error, mean + error, color=look.colour, alpha=0.15, linewidth=0)
    axis.errorbar(
        rows["iteration"], mean, yerr=None if several or is_long else error, capsize=1.5, elinewidth=0.7, color=look.colour,
        linewidth=(1.8 if look.rank == 0 else 1.2) * (0.6 if is_long else 1), linestyle=look.line, label=look.name, zorder=4,
        marker="" if is_long else "o", markersize=2,
    )  # fmt: skip
    collapsed = sorted(numbers.collapsed_seeds(label).items())
    for t, seeds in collapsed[:1] if is_long else collapsed:
        at = rows[rows["iteration"] == t]
        if len(at):
            axis.plot([t], 100 * at["mean"], marker="X", markersize=5.5, color=COLLAPSE_COLOUR, linestyle="", zorder=5)
            plot.add_tooltip(axis, t, 100 * float(at["mean"].iloc[0]), f"{look.name}, iteration {t}: collapse of {seeds} seed(s)")
    for row in rows.to_dict("records"):
        plot.add_tooltip(axis, row["iteration"], 100 * row["mean"], mean_tooltip(row, look.name))


def _write_head(axis: Axes, numbers: StabilityNumbers, label: str, collapsed: int, between: str) -> None:
    """The first variant's last mean and worst fall, and how many of its seeds collapsed, above the curves."""
    if numbers.last_mean(label) < 0:
        return
    fall = numbers.worst_fall(label)
    text = f"last {100 * numbers.last_mean(label):.1f}" + ("" if fall is None else f"{between}fall {100 * fall:.1f}")
    axis.text(0, 1.03, text, transform=axis.transAxes, fontsize=6.3, color="#444444", va="bottom")
    if collapsed and (seeds := numbers.seeds(label)) > 1:
        font: Any = {"fontsize": 7, "color": COLLAPSE_COLOUR, "fontweight": "bold", "ha": "right", "va": "bottom"}
        axis.text(1, 1.03, f"✕ {collapsed}/{seeds}", transform=axis.transAxes, **font)
