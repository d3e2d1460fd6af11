"""Part b: how far each variant ends from the baseline, paired over items and seeds, with the interval of that difference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import Drawing, short_name
from harness.reporting.tables.comparisons import MEAN_TASK, turned_pair
from harness.reporting.tables.formatting import p_value, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def differences(numbers: StabilityNumbers) -> list[tuple[str, dict[str, Any]]]:
    """(label, comparison of its mean over tasks minus the baseline's, at the last iteration), one per variant, in the order of
    the methods; minus the initial policy's where there is no baseline."""
    if numbers.comparisons is None or numbers.comparisons.empty:
        return []
    rows = select(numbers.comparisons, task=MEAN_TASK).dropna(subset="difference")
    rows = rows[rows["question"].isna() | (rows["question"] == "")] if "question" in rows else rows
    against = numbers.baseline or INITIAL
    labels = [label for labels in numbers.methods().values() for label in labels if label != against]
    found = ((label, turned_pair(rows, label, against)) for label in labels)
    return [(label, row) for label, row in found if row is not None]


def draw_forest(plot: Drawing, axis: Axes, numbers: StabilityNumbers, chars: int) -> None:
    """chars: of a line of a name beside the axis."""
    shown = differences(numbers)
    against = numbers.looks[numbers.baseline].name if numbers.baseline else "the start"
    for place, (label, row) in enumerate(shown):
        look = numbers.looks[label]
        low, high, value = (100 * row[key] for key in ("low", "high", "difference"))
        if not pd.isna(low):
            axis.plot([low, high], [place, place], color=look.colour, linewidth=1.5, solid_capstyle="butt")
        face = look.colour if look.rank == 0 else "white"
        axis.plot([value], [place], marker=look.marker, color=look.colour, markerfacecolor=face, linestyle="")
        text = difference_text(row)
        axis.text(1.02, place, text, transform=axis.get_yaxis_transform(), fontsize=6.3, va="center", color="#333333")
        plot.add_tooltip(axis, value, place, f"{look.name} minus {against}: {text}")
    axis.axvline(0, color="#333333", linewidth=0.8, zorder=1)
    axis.axvspan(-1, 1, color="#eeeeee", zorder=0, linewidth=0)
    axis.set_yticks(range(len(shown)), [short_name(numbers.looks[label].name, chars, lines=2) for label, _ in shown], fontsize=7)
    axis.set_ylim(len(shown) - 0.5, -0.5)
    axis.grid(visible=False)
    over = {str(row["over"]) for _, row in shown if not pd.isna(row["over"])}
    axis.set_xlabel(f"points against {short_name(against)}\n95 % interval, {' / '.join(sorted(over)) or 'none'}", fontsize=7)


def difference_text(row: dict[str, Any]) -> str:
    """Points with interval and Holm's p: "+1.9 [+0.8, +3.0]  p = .012"."""
    text = points(row["difference"])
    if not pd.isna(row["low"]):
        text += f" [{100 * row['low']:+.1f}, {100 * row['high']:+.1f}]"
    if not pd.isna(row["p_holm"]):
        p = p_value(row["p_holm"])
        text += f"  p {'' if p[0] == '<' else '= '}{p}".replace("0.", ".").replace("1.000", "1")
    return text.replace("-", "−")
