"""The csv files of a run as the report reads them: every printed number is in one of them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from harness.analysis.facts import Frame, RunResults
from harness.analysis.text_columns import read_table
from harness.errors import UserError
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK, is_bootstrap_table, with_current_columns


class Tables:
    """Every table of a finished refresh. Raises UserError when one is missing or damaged."""

    def __init__(self, results: RunResults) -> None:
        self.results = results

    def read(self, name: str) -> Frame:
        path = self.results.root / name
        try:
            return read_table(path)
        except FileNotFoundError as error:
            raise UserError(
                f"{path}: no such file; write the tables with: harness report {self.results.record['name']}"
            ) from error
        except (ValueError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: damaged ({' '.join(str(error).split())}); delete it and make the report again") from error

    def optional(self, name: str) -> Frame | None:
        return self.read(name) if (self.results.root / name).is_file() else None

    @cached_property
    def leaderboard(self) -> Frame:
        leaderboard_table = self.read("tables/leaderboard.csv")
        leaderboard_table["seeds"] = leaderboard_table["seeds"].astype("Int64")
        return leaderboard_table

    @cached_property
    def ranking(self) -> Frame:
        return self.read("tables/standing.csv").fillna({"panel": ""})

    @cached_property
    def comparisons(self) -> Frame:
        return with_current_columns(self.read("tables/comparisons.csv"))

    @cached_property
    def by_bootstrap(self) -> bool:
        """Whether the comparisons are the bootstrap ones of an earlier version, kept as they are."""
        return is_bootstrap_table(self.read("tables/comparisons.csv"))

    @cached_property
    def stability(self) -> Frame:
        return self.read("tables/stability.csv")

    @cached_property
    def unaveraged(self) -> Frame:
        """Exists for a suite with rows that are not in the mean."""
        return self.read("tables/beside.csv")

    @cached_property
    def drift(self) -> Frame:
        return self.read("tables/drift.csv")

    @cached_property
    def cost(self) -> Frame:
        return self.read("tables/cost_total.csv")

    @cached_property
    def collapse(self) -> Frame:
        return self.read("tables/collapse.csv")

    @cached_property
    def versions(self) -> Frame:
        return self.read("tables/versions.csv").fillna({"version": ""})

    @property
    def panels(self) -> list[dict[str, Any]]:
        return self.results.panels

    @property
    def last(self) -> int:
        return self.results.record["iterations"] - 1

    @property
    def seeds(self) -> int:
        return len(self.results.record["seeds"])

    def initial_scores(self) -> Frame:
        return self.leaderboard[self.leaderboard["objective"] == INITIAL].iloc[0]

    def pair(self, panel: str, a: str, b: str) -> dict[str, Any] | None:
        """The comparison of two objectives in the mean over tasks, turned so that it reads a minus b; None without one."""
        rows = self.comparisons[(self.comparisons["panel"] == panel) & (self.comparisons["task"] == MEAN_TASK)]
        rows = rows[rows["difference"].notna()]
        for sign, (x, y) in ((1, (a, b)), (-1, (b, a))):
            matching = rows[(rows["a"] == x) & (rows["b"] == y)]
            if len(matching):
                row = matching.iloc[0].to_dict()
                bounds = sorted((sign * row["low"], sign * row["high"]))
                return row | {"difference": sign * row["difference"], "low": bounds[0], "high": bounds[1]}
        return None

    def has_figure(self, name: str) -> bool:
        return Path(self.results.root / "plots" / f"{name}.svg").exists()
