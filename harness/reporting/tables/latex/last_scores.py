"""The panels of a run as its printed tables need them: names, rows, and which numbers are the best or not told apart from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.analysis.stats import SIGNIFICANCE_LEVEL, tied
from harness.records import INITIAL
from harness.reporting.display_text import display_text
from harness.reporting.figures.methods import display_names
from harness.reporting.tables.comparisons import MEAN_TASK, turned_pair
from harness.reporting.tables.latex.layout import BOLD_MARK, UNDERLINE_MARK
from harness.reporting.tables.run_tables import RunTables

START = "start"


@dataclass(frozen=True)
class LastScores:
    tables: RunTables

    @property
    def last(self) -> int:
        return self.tables.results.record["iterations"] - 1

    @property
    def seeds(self) -> int:
        return len(self.tables.results.record["seeds"])

    @cached_property
    def names(self) -> dict[str, str]:
        """Label -> the name that a reader knows, "S-SimPO"."""
        return {INITIAL: START, **display_names(self.tables.results.record["variants"])}

    @cached_property
    def start(self) -> dict[str, Any]:
        """The leaderboard's row of the initial policy."""
        return select(self.tables.leaderboard, objective=INITIAL).iloc[0].to_dict()

    def rows(self, panel: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The leaderboard's rows of a panel's objectives at the last iteration, the highest mean first."""
        board = select(self.tables.leaderboard, iteration=self.last, objective=list(panel["labels"]))
        return board.sort_values("mean", ascending=False, kind="stable", na_position="last").to_dict("records")

    def standing(self, panel: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Label -> its row of standing.csv."""
        return {row["objective"]: row for row in select(self.tables.ranking, panel=panel["title"]).to_dict("records")}

    def marks(self, panel: Mapping[str, Any], task: str = MEAN_TASK) -> dict[str, str]:
        """Label -> mark of its number at the last iteration: the best, and those not told apart from it by Holm's p.

        Where there are fewer than two numbers, or no p, nothing is said.
        """
        values = self._oriented(panel, task)
        if len(values) < 2:
            return {}
        leaders = [label for label, value in values.items() if tied(value, max(values.values()))]
        pairs: Frame = select(self.tables.comparisons, panel=panel["title"], task=task, iteration_a=self.last)
        pairs = pairs.dropna(subset="difference")
        marks = dict.fromkeys(leaders, BOLD_MARK)
        for label in (label for label in values if label not in leaders):
            pair = turned_pair(pairs, leaders[0], label)
            if pair is not None and not pd.isna(pair["p_holm"]) and pair["p_holm"] >= SIGNIFICANCE_LEVEL:
                marks[label] = UNDERLINE_MARK
        return marks

    def _oriented(self, panel: Mapping[str, Any], task: str) -> dict[str, float]:
        """Label -> its number at the last iteration, turned so that higher is better; without those that have none."""
        sign = 1 if task == MEAN_TASK or self.tables.results.scales[task].higher_is_better else -1
        column = "mean" if task == MEAN_TASK else task
        return {row["objective"]: sign * row[column] for row in self.rows(panel) if not pd.isna(row[column])}

    def sections(self) -> Iterator[tuple[Mapping[str, Any], str]]:
        """Every panel with its title as printed."""
        for panel in self.tables.results.panels:
            yield panel, display_text(panel["title"])
