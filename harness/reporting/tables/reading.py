"""The csv files of a run as the report reads them: every printed number is in one of them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers
from harness.analysis.text_columns import read_table
from harness.errors import UserError, error_line
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK, is_bootstrap_table, turned_pair, with_current_columns
from harness.store.opening import as_argument


class Tables:
    """Every table of a finished refresh. Raises UserError when one is missing or damaged."""

    def __init__(self, results: RunResults) -> None:
        self.results = results

    def read(self, name: str) -> Frame:
        path = self.results.root / name
        try:
            return read_table(path)
        except FileNotFoundError as error:
            advice = f"write the tables with: harness report {as_argument(self.results.root)}"
            raise UserError(f"{path}: no such file; {advice}") from error
        except (ValueError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: damaged ({error_line(error)}); delete it and make the report again") from error

    def optional(self, name: str) -> Frame | None:
        return self.read(name) if (self.results.root / name).is_file() else None

    @cached_property
    def leaderboard(self) -> Frame:
        return with_integers(self.read("tables/leaderboard.csv"), "seeds")

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
    def beside(self) -> Frame:
        return self.read("tables/beside.csv")

    @cached_property
    def drift(self) -> Frame:
        return self.read("tables/drift.csv")

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
        return select(self.leaderboard, objective=INITIAL).iloc[0]

    def pair(self, panel: str, a: str, b: str) -> dict[str, Any] | None:
        """The comparison of two objectives in the mean over tasks, turned so that it reads a minus b; None without one."""
        rows = select(self.comparisons, panel=panel, task=MEAN_TASK).dropna(subset="difference")
        return turned_pair(rows, a, b)
