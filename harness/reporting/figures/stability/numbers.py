"""What the stability figure shows, looked up in the tables once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.figures.methods import Look, baseline

MAX_ITERATIONS_WITH_BARS = 12  # of more, bars, points and every mark of a collapse would cover the curves


@dataclass(frozen=True)
class StabilityNumbers:
    """Tables of a run and how its variants look. unit_scores: scores.csv of the tasks of the mean, shares of 1. comparisons and
    collapse: None while a run is in progress."""

    leaderboard: Frame
    unit_scores: Frame
    stability: Frame
    panels: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]
    iterations: int
    looks: Mapping[str, Look]
    variants: Mapping[str, Mapping[str, Any]]
    comparisons: Frame | None = None
    collapse: Frame | None = None

    @property
    def labels(self) -> list[str]:
        """Every variant of every panel, each once."""
        return list(dict.fromkeys(label for panel in self.panels for label in panel["labels"]))

    @property
    def baseline(self) -> str | None:
        """The variant that the others are held against, None where nothing but self-play was run."""
        return baseline(self.variants, list(self.panels[0]["labels"]))

    @property
    def is_long(self) -> bool:
        return self.iterations > MAX_ITERATIONS_WITH_BARS

    @property
    def has_collapse(self) -> bool:
        return any(self.collapsed_seeds(label) for label in self.labels)

    def methods(self) -> dict[str, list[str]]:
        """Method -> its variants, of those with a finished iteration, or of all before there is one.

        The baseline's method is first, the others follow by the last mean of their first variant.
        """
        found: dict[str, list[str]] = {}
        finished = [label for label in self.labels if self.last_mean(label) >= 0]
        for label in finished or self.labels:
            found.setdefault(self.looks[label].method, []).append(label)
        first = self.looks[self.baseline].method if self.baseline else None
        return dict(sorted(found.items(), key=lambda item: (item[0] != first, -self.last_mean(item[1][0]))))

    def curve(self, label: str) -> Frame:
        """Rows of the leaderboard: the initial policy, then the variant's iterations that have a mean."""
        return pd.concat([self.initial, self.finished(label)])

    @property
    def initial(self) -> Frame:
        return self.finished(INITIAL)

    def finished(self, label: str) -> Frame:
        """The rows of the leaderboard that have a mean."""
        return select(self.leaderboard, objective=label).dropna(subset="mean")

    def last_mean(self, label: str) -> float:
        """The mean at the last finished iteration, -1 before the first."""
        rows = self.finished(label)
        return float(rows["mean"].iloc[-1]) if len(rows) else -1.0

    def worst_fall(self, label: str) -> float | None:
        """The largest loss of any seed from one iteration to the next, None before the second iteration."""
        rows = select(self.stability, objective=label, name="largest_fall").dropna(subset="seed")
        return float(rows["value"].max()) if len(rows) else None

    def collapsed_seeds(self, label: str) -> dict[int, int]:
        """Iteration -> number of seeds with a finding there."""
        if self.collapse is None or self.collapse.empty:
            return {}
        rows = select(self.collapse, objective=label)
        return {int(t): int(group["seed"].nunique()) for t, group in rows.groupby("iteration")}

    def seeds(self, label: str) -> int:
        rows = self.finished(label)
        return int(rows["seeds"].max()) if len(rows) else 0
