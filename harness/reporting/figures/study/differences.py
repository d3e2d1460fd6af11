"""A study of a few questions, each one difference: its contrasts as a forest, a minus b, paired over items and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.reporting.figures.methods import Look
from harness.reporting.figures.stability.forest import difference_text
from harness.reporting.figures.style import WIDTH_INCHES, Drawing, make_canvas, short_name
from harness.reporting.tables.comparisons import MEAN_TASK

ROW_INCHES, FOOT_INCHES = 0.46, 0.7
NAME_SHARE = 0.36  # of the width, for the question beside its row
MIN_WIDTH_BESIDE = 4.8  # inches; where there are fewer, the question stands above its row
CHARS_PER_INCH = 16


def contrasts(comparisons: Frame, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of comparisons.csv: the study's own questions in the mean over tasks, those that have a difference."""
    rows = select(comparisons, panel="study", task=MEAN_TASK).dropna(subset="difference")
    return [row for row in rows.to_dict("records") if row["a"] in labels]


def differences_figure(comparisons: Frame, looks: Mapping[str, Look], width: float = WIDTH_INCHES) -> Drawing | None:
    """None where neither side of any question is finished."""
    rows = contrasts(comparisons, list(looks))
    if not rows:
        return None
    is_beside = width >= MIN_WIDTH_BESIDE
    figure: Any = make_canvas(width, (ROW_INCHES if is_beside else 1.55 * ROW_INCHES) * len(rows) + FOOT_INCHES)
    axis = figure.subplots()
    plot = Drawing(figure, [axis])
    for place, row in enumerate(rows):
        look = looks[row["a"]]
        low, high, value = (100 * row[key] for key in ("low", "high", "difference"))
        if not pd.isna(low):
            axis.plot([low, high], [place, place], color=look.colour, linewidth=1.8, solid_capstyle="butt")
        axis.plot([value], [place], marker=look.marker, color=look.colour, markersize=6, linestyle="")
        text = difference_text(row)
        if is_beside:
            axis.text(1.02, place, text, transform=axis.get_yaxis_transform(), fontsize=7, va="center", color="#333333")
        else:
            question = short_name(row["question"], int(width * CHARS_PER_INCH), lines=2)
            font: Any = {"fontsize": 6.5, "va": "bottom", "color": "#333333", "transform": axis.get_yaxis_transform()}
            axis.text(0, place - 0.17, question, **font)
            axis.text(1, place + 0.4, text, ha="right", **font)
        plot.add_tooltip(axis, value, place, f"{row['question']}: {text} points")
    axis.axvspan(-1, 1, color="#eeeeee", zorder=0, linewidth=0)
    axis.axvline(0, color="#333333", linewidth=0.8, zorder=1)
    chars = int(NAME_SHARE * width * CHARS_PER_INCH)
    names = [short_name(row["question"], chars, lines=3) if is_beside else "" for row in rows]
    axis.set_yticks(range(len(rows)), names, fontsize=7)
    axis.set_ylim(len(rows) - 0.4, -0.6 if is_beside else -0.75)
    axis.tick_params(axis="y", length=0)
    axis.grid(visible=False)
    over = sorted({str(row["over"]) for row in rows if not pd.isna(row["over"])})
    lines = "; " if is_beside else "\n"
    axis.set_xlabel(f"points, a minus b{lines}95 % interval over {' / '.join(over) or 'nothing'}", fontsize=7.5)
    return plot


def differences_caption(comparisons: Frame, labels: Sequence[str], items: str) -> str:
    rows = contrasts(comparisons, labels)
    seeds = sorted({int(row["seeds"]) for row in rows})
    count = "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))) if seeds else "0"
    return (
        "The study's questions, each one difference in the mean over tasks, paired over the same items and "
        f"{count} seed(s); {items}; bars: 95 % intervals; p after Holm's correction over these rows; grey: within a point. "
        "Numbers: comparisons.csv (panel study)."
    )
