"""Statistics of one curve over iterations: best, drop, falls, area lost, churn. numpy only.

Legend: T points in time, I test items. Iterations count from 0, the first trained one. Two values that differ by no more than the
rounding of the sums they come from are tied: equal numbers of right answers are neither a fall nor a better iteration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.stats import tied


@dataclass(frozen=True)
class Stability:
    """best: the highest mean and its iteration (the first, if tied). drop: best - last. largest_fall: the largest loss from one
    iteration to the next, 0 if there is none. falls: iterations that lost. area_lost: mean over iterations of the running
    best minus the value. In the unit of the scores, but for `best_iteration` and `falls`. Where lower is better, best is the
    lowest and a loss is a rise: drop, largest_fall and area_lost are what was lost, never negative, in either direction.
    """

    best_iteration: int
    best: float
    last: float
    drop: float
    largest_fall: float
    falls: int
    area_lost: float


def stability(curve: np.ndarray, higher_is_better: bool = True) -> Stability | None:
    """(T,) means of the trained iterations -> Stability; None when a point is missing or there is none."""
    if curve.size == 0 or np.isnan(curve).any():
        return None
    if not higher_is_better:
        mirrored = stability(-curve)
        return mirrored and replace(mirrored, best=-mirrored.best, last=-mirrored.last)
    steps = np.where(tied(curve[1:], curve[:-1]), 0.0, np.diff(curve))
    running_best = np.maximum.accumulate(curve)
    drawdown = np.where(tied(running_best, curve), 0.0, running_best - curve)
    best = int(np.argmax(tied(curve, curve.max())))
    return Stability(
        best_iteration=best,
        best=float(curve.max()),
        last=float(curve[-1]),
        drop=float(drawdown[-1]),
        largest_fall=float(max(0.0, -steps.min())) if steps.size else 0.0,
        falls=int((steps < 0).sum()),
        area_lost=float(drawdown.mean()),
    )


def flip_rate(before: np.ndarray, after: np.ndarray) -> float:
    """(I,), (I,) values of the same items before and after -> share of items whose value changed, by more than rounding.

    A score can be constant while answers change: half of its churn was then forgetting. Raises ValueError on unequal numbers of
    items.
    """
    if before.shape != after.shape:
        raise ValueError(f"churn needs the same items: {before.shape[0]} before, {after.shape[0]} after")
    return float((~tied(before, after)).mean())
