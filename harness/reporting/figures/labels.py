"""Names beside the points they belong to, where they cover neither one another nor, as far as there is room, a curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DISTANCES = (5.0, 8.0, 12.0, 18.0, 26.0, 36.0, 50.0, 70.0, 95.0, 125.0)  # points from the point to its name
ANGLES = (0, 30, -30, 60, -60, 90, -90, 180, 150, -150, 120, -120)  # degrees, the best first
MIN_LEADER_POINTS = 12.0  # a name farther away has a line to its point
SAMPLES_PER_SEGMENT = 24
CLEARANCE = 2.0  # pixels between a name and a curve
COST_OUTSIDE, COST_COVERS_NAME, COST_COVERS_CURVE, COST_ANGLE = 1e6, 1e5, 6.0, 0.4
COST_COVERS_MARK, MARK_POINTS = 1e3, 3.0


@dataclass(frozen=True)
class PointLabel:
    """A name for the point (x, y), in data coordinates."""

    x: float
    y: float
    text: str
    colour: str
    size: float = 7.0
    weight: str = "bold"


@dataclass(frozen=True)
class Box:
    """Pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box, gap: float = 1.0) -> bool:
        return (
            min(self.right, other.right) - max(self.left, other.left) > -gap
            and min(self.top, other.top) - max(self.bottom, other.bottom) > -gap
        )

    def covered(self, points: np.ndarray) -> int:
        """How many of the points (N, 2) lie inside, or so near that their curve does."""
        if not len(points):
            return 0
        x, y = points[:, 0], points[:, 1]
        across = (x > self.left - CLEARANCE) & (x < self.right + CLEARANCE)
        return int((across & (y > self.bottom - CLEARANCE) & (y < self.top + CLEARANCE)).sum())

    def is_inside(self, other: Box) -> bool:
        return self.left >= other.left and self.right <= other.right and self.bottom >= other.bottom and self.top <= other.top


def along(paths: Iterable[tuple[Sequence[float], Sequence[float]]]) -> np.ndarray:
    """(N, 2) points along paths of (x, y), close enough to one another to say whether a name lies on them."""
    parts = []
    for x, y in paths:
        xs, ys = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
        places = np.linspace(0, len(xs) - 1, max(1, (len(xs) - 1) * SAMPLES_PER_SEGMENT + 1))
        parts.append(np.column_stack([np.interp(places, range(len(xs)), values) for values in (xs, ys)]))
    return np.concatenate(parts) if parts else np.empty((0, 2))


def place_labels(axis: Axes, labels: Sequence[PointLabel], obstacles: np.ndarray) -> None:
    """Write the labels. obstacles: (N, 2) data coordinates of what they should not cover. The figure must be laid out."""
    figure: Any = axis.get_figure(root=True)
    renderer, per_point = figure.canvas.get_renderer(), figure.dpi / 72
    frame = axis.get_window_extent(renderer)
    bounds = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    points = axis.transData.transform(obstacles) if len(obstacles) else obstacles
    per = MARK_POINTS * per_point
    marks = [Box(x - per, y - per, x + per, y + per) for x, y in (axis.transData.transform((one.x, one.y)) for one in labels)]
    taken: list[Box] = []
    for label in sorted(labels, key=lambda label: (-label.y, label.x)):
        x, y = axis.transData.transform((label.x, label.y))
        style: Any = {"fontsize": label.size, "fontweight": label.weight, "color": label.colour}
        probe = axis.text(0, 0, label.text, transform=None, parse_math=False, **style)
        extent = probe.get_window_extent(renderer)
        probe.remove()
        places = (
            (distance, rank, _box(x, y, distance * per_point, angle, extent.width, extent.height))
            for distance in DISTANCES
            for rank, angle in enumerate(ANGLES)
        )
        distance, _, box = min(
            places,
            key=lambda place: (
                place[0] / 4
                + COST_ANGLE * place[1]
                + COST_OUTSIDE * (not place[2].is_inside(bounds))
                + COST_COVERS_NAME * sum(place[2].overlaps(other) for other in taken)
                + COST_COVERS_MARK * sum(place[2].overlaps(mark, 0) for mark in marks)
                + COST_COVERS_CURVE * place[2].covered(points)
            ),
        )
        taken.append(box)
        line = {"arrowstyle": "-", "linewidth": 0.5, "color": label.colour, "shrinkA": 0.5, "shrinkB": 2.5}
        name = axis.annotate(
            label.text, (label.x, label.y), ((box.left - x) / per_point, ((box.bottom + box.top) / 2 - y) / per_point),
            textcoords="offset points", ha="left", va="center", annotation_clip=False,
            arrowprops=line if distance >= MIN_LEADER_POINTS else None, **style,
        )  # fmt: skip
        name.set_in_layout(False)


def _box(x: float, y: float, distance: float, angle: float, width: float, height: float) -> Box:
    """The box of a name in this direction from (x, y), in pixels: beside it, or centred above or below it."""
    dx, dy = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
    left = x + dx if dx > distance * 0.3 else x + dx - width if dx < -distance * 0.3 else x - width / 2
    middle = y + dy + (math.copysign(height / 2, dy) if abs(angle) in (60, 90, 120) else 0)
    return Box(left, middle - height / 2, left + width, middle + height / 2)
