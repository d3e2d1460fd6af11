"""A study of the amount of data: the last mean of every arm against annotated pairs, and beside it against compute.

Arms are numbered by their score; the numbers stand at the points of both panels and in the list beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from harness.analysis.frames import Frame
from harness.reporting.figures.labels import PointLabel, along
from harness.reporting.figures.methods import Look, looks_of_methods
from harness.reporting.figures.style import WIDTH_INCHES, Drawing, make_canvas, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIN_WIDTH_SIDE_BY_SIDE = 4.8
PANEL_INCHES, LINE_INCHES, GAP_INCHES, LIST_CHARS_PER_INCH = 2.5, 0.112, 0.07, 14
LIST_SHARE = 0.62  # of a panel's width, for the list beside two panels
FIRST_LINE_MIDDLE_INCHES = 0.05  # below the top of a text
SLOT = 0.8  # of the distance between two numbers of pairs, shared by the arms with one number


def arms_with_scores(arms: Frame, last: int, looks: Mapping[str, Look]) -> Frame:
    """The arms of study.csv with a mean at the last iteration, the best first. Columns: label, note, pairs, passes; mean, low and
    high in percent: the 95 % interval from three seeds on, else the standard error of sampling items; number from 1."""
    at_last = {name: f"{name}_iteration_{last}" for name in ("mean", "mean_low", "mean_high", "item_stderr")}
    rows = arms[arms["objective"].isin(list(looks))].dropna(subset=at_last["mean"]).sort_values(at_last["mean"], ascending=False)
    value, low, high, stderr = (100 * rows[column].astype(float) for column in at_last.values())
    found = pd.DataFrame(
        {
            "label": rows["objective"], "note": rows["note"], "pairs": rows["pairs"], "passes": rows["token_passes"],
            "mean": value, "low": low.fillna(value - stderr), "high": high.fillna(value + stderr),
        }
    )  # fmt: skip
    return found.assign(number=range(1, len(found) + 1)).reset_index(drop=True)


def pairs_figure(
    arms: Frame, last: int, all_pairs: int, looks: Mapping[str, Look], width: float = WIDTH_INCHES
) -> Drawing | None:
    """arms: study.csv. all_pairs: number of pairs of an arm that takes all. None where no arm has finished."""
    rows = arms_with_scores(arms, last, looks)
    if rows.empty:
        return None
    rows["pairs"] = rows["pairs"].fillna(all_pairs).astype(float)
    methods = [looks[label].method for label in rows["label"]]
    rows["is_one_of_several"] = [methods.count(method) > 1 for method in methods]
    looks = {label: looks_of_methods(looks)[looks[label].method] for label in rows["label"]}
    side_by_side = width >= MIN_WIDTH_SIDE_BY_SIDE
    list_width = width * LIST_SHARE / (2 + LIST_SHARE) if side_by_side else width
    chars = max(16, int((list_width - 0.3) * LIST_CHARS_PER_INCH))
    names = [short_name(arm_name(row, looks[row["label"]]), chars, lines=3) for row in rows.to_dict("records")]
    tops = np.cumsum([0.0, *(LINE_INCHES * (name.count("\n") + 1) + GAP_INCHES for name in names)])
    list_inches = float(tops[-1])
    if side_by_side:
        figure: Any = make_canvas(width, max(PANEL_INCHES + 0.2, list_inches + 0.15))
        axes = figure.subplots(1, 3, width_ratios=[1, 1, LIST_SHARE], squeeze=False)[0]
    else:
        figure = make_canvas(width, 2 * PANEL_INCHES + 1.1 * list_inches + 0.5)
        axes = figure.subplots(3, 1, height_ratios=[PANEL_INCHES, PANEL_INCHES, 1.1 * list_inches + 0.3], squeeze=False)[:, 0]
    plot = Drawing(figure, list(axes))
    _draw_against_pairs(plot, axes[0], rows, looks)
    _draw_against_compute(plot, axes[1], rows, looks)
    axes[1].sharey(axes[0])
    if side_by_side:
        axes[1].tick_params(labelleft=False)
    else:
        axes[1].set_ylabel("mean at the last iteration, %")
    axes[0].set_ylabel("mean at the last iteration, %")
    _list_arms(axes[2], rows, looks, names, tops.tolist(), list_width)
    return plot


def _draw_against_pairs(plot: Drawing, axis: Axes, rows: Frame, looks: Mapping[str, Look]) -> None:
    """Arms with the same number of pairs stand side by side, so that their bars are told apart."""
    amounts = sorted(rows["pairs"].unique())
    step = SLOT / max(int((rows["pairs"] == amount).sum()) for amount in amounts)
    for place, amount in enumerate(amounts):
        same = rows[rows["pairs"] == amount]
        for slot, row in enumerate(same.to_dict("records")):
            x = place + step * (slot - (len(same) - 1) / 2)
            _draw_point(plot, axis, x, row, looks[row["label"]], f"{int(amount):,} pairs")
            style: Any = {"fontsize": 6.5, "color": "#333333", "ha": "center", "va": "bottom"}
            axis.annotate(str(row["number"]), (x, row["high"]), (0, 1.5), textcoords="offset points", **style)
    axis.set_xticks(range(len(amounts)), [f"{int(amount):,}" for amount in amounts])
    axis.set_xlim(-0.6, len(amounts) - 0.4)
    axis.margins(y=0.12)
    axis.set_xlabel("annotated pairs")


def _draw_against_compute(plot: Drawing, axis: Axes, rows: Frame, looks: Mapping[str, Look]) -> None:
    known = rows.dropna(subset="passes")
    labels, bars = [], []
    for row in known.to_dict("records"):
        x = float(row["passes"])
        _draw_point(plot, axis, x, row, looks[row["label"]], f"{x:,.0f} token passes")
        labels.append(PointLabel(x, row["mean"], str(row["number"]), "#333333", 6.5, "normal"))
        bars.append(([x, x], [row["low"], row["high"]]))
    axis.set_xscale("log")
    if len(known):
        low, high = known["passes"].astype(float).min(), known["passes"].astype(float).max()
        axis.set_xlim(low / 1.35, high * 1.35)
        ticks = _log_ticks(low / 1.3, high * 1.3)
        axis.set_xticks(ticks, [_millions(tick) for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlabel("token passes of a seed\n(trained × 3, drawn, scored)")
    plot.add_labels(axis, labels, along(bars))


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in (1, 2, 5) if low <= digit * 10.0**decade <= high]


def _millions(count: float) -> str:
    return f"{count / 1e6:g} M" if count >= 1e6 else f"{count / 1e3:g} k" if count >= 1e3 else f"{count:g}"


def _draw_point(plot: Drawing, axis: Axes, x: float, row: Mapping[Any, Any], look: Look, where: str) -> None:
    axis.vlines([x], row["low"], row["high"], color=look.colour, linewidth=1.0)
    axis.plot([x], [row["mean"]], **_mark(row, look))
    plot.add_tooltip(axis, x, row["mean"], f"{arm_name(row, look)}: {row['mean']:.1f} %, {where}")


def _mark(row: Mapping[Any, Any], look: Look) -> dict[str, Any]:
    """Open where a method has several arms, which their numbers tell apart."""
    face = "white" if row["is_one_of_several"] else look.colour
    return {"marker": look.marker, "color": look.colour, "markerfacecolor": face, "markersize": 5, "linestyle": ""}


def arm_name(row: Mapping[Any, Any], look: Look) -> str:
    """The arm's note, with the method's name before it unless it begins with that."""
    note = str(row["note"])
    return note if note.lower().startswith(look.method_name.lower()) else f"{look.method_name}: {note}"


def _list_arms(
    axis: Axes, rows: Frame, looks: Mapping[str, Look], names: Sequence[str], tops: Sequence[float], inches: float
) -> None:
    """Number, mark and what the arm stands for, the best first. tops: where each begins, inches below the top; inches: width."""
    from matplotlib.transforms import ScaledTranslation

    axis.axis("off")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlim(0, inches)
    for row, name, top in zip(rows.to_dict("records"), names, tops, strict=False):
        transform = axis.get_xaxis_transform() + ScaledTranslation(0, -top, axis.figure.dpi_scale_trans)
        middle = transform + ScaledTranslation(0, -FIRST_LINE_MIDDLE_INCHES, axis.figure.dpi_scale_trans)
        font: Any = {"fontsize": 6.5, "color": "#333333"}
        artists = [
            *axis.plot([0.17], [1], transform=middle, clip_on=False, **_mark(row, looks[row["label"]])),
            axis.text(0.06, 1, str(row["number"]), ha="right", va="center", transform=middle, **font),
            axis.text(0.27, 1, name, ha="left", va="top", linespacing=1.1, transform=transform, **font),
        ]
        for artist in artists:
            artist.set_in_layout(False)  # they have their room already


def pairs_caption(seeds: int, last: int, items: str) -> str:
    bars = f"95 % intervals over items and {seeds} seeds" if seeds >= 3 else f"standard errors of sampling items, {seeds} seed(s)"
    return (
        f"Mean over tasks at iteration {last}, left against the annotated pairs that an arm takes, right against its compute "
        "over all iterations (forward passes of all tokens, a trained one counted as three; logarithmic); arms by number, in the "
        f"order of their means, side by side where they take the same pairs; {items}; bars: {bars}. Numbers: study.csv, from "
        "leaderboard.csv and cost.csv."
    )
