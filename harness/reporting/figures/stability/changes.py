"""Part c: where a gain comes from: the change of every task from the initial policy to the last iteration, in points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.reporting.figures.stability.numbers import StabilityNumbers
from harness.reporting.figures.style import Drawing, short_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_TASKS_WITH_NUMBERS = 14


def changes(numbers: StabilityNumbers) -> tuple[list[str], list[str], np.ndarray]:
    """(labels, task labels, points (labels, tasks)): the first variant of every method; tasks by their mean change, the largest
    first; NaN where a task has no score."""
    labels = [labels[0] for labels in numbers.methods().values() if numbers.last_mean(labels[0]) >= 0]
    names = [str(task["name"]) for task in numbers.tasks]
    start = numbers.initial[names].iloc[0].to_numpy(dtype=float)
    last = [numbers.finished(label)[names].iloc[-1] for label in labels]
    points = 100 * (np.array([row.to_numpy(dtype=float) for row in last]).reshape(len(labels), len(names)) - start)
    order = sorted(range(len(names)), key=lambda column: -float(np.mean(points[:, column]))) if labels else range(len(names))
    return labels, [str(numbers.tasks[column]["label"]) for column in order], points[:, list(order)]


def draw_changes(plot: Drawing, axis: Axes, numbers: StabilityNumbers, chars: int) -> None:
    """chars: of a line of a name beside the axis."""
    labels, tasks, points = changes(numbers)
    bound = max(1.0, float(np.nanmax(np.abs(points)))) if points.size else 1.0
    edges = (np.arange(size + 1) - 0.5 for size in (len(tasks), len(labels)))
    shown = np.ma.masked_invalid(points)
    axis.pcolormesh(*edges, shown, cmap="RdBu", vmin=-bound, vmax=bound, edgecolor="white", linewidth=0.4)
    axis.set_ylim(len(labels) - 0.5, -0.5)
    for y, label in enumerate(labels):
        for x, task in enumerate(tasks):
            value = points[y, x]
            plot.add_tooltip(axis, x, y, f"{numbers.looks[label].name}, {task}: {value:+.1f} points")
            if len(tasks) <= MAX_TASKS_WITH_NUMBERS and not np.isnan(value):
                text = f"{value:+.0f}".replace("-", "−") if abs(value) >= 0.5 else "0"
                ink = "white" if abs(value) > 0.6 * bound else "#222222"
                axis.text(x, y, text, ha="center", va="center", fontsize=6, color=ink)
    axis.set_yticks(range(len(labels)), [short_name(numbers.looks[label].name, chars, lines=2) for label in labels], fontsize=7)
    axis.set_xticks(range(len(tasks)), map(short_name, tasks), fontsize=6.5, rotation=40, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.grid(visible=False)
    for side in axis.spines.values():
        side.set_visible(False)
