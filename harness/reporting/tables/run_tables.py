"""Every table of a run, computed when it is asked for: what is written as csv, and what Python code is given."""

from __future__ import annotations

from functools import cached_property

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame
from harness.reporting.tables.collapse import collapse_table
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.compute import compute_table, cost_totals
from harness.reporting.tables.curves import drift_table, stability_table, unaveraged_table
from harness.reporting.tables.earlier import earlier_comparisons, earlier_versions, tables_not_written, with_churn, with_prob_best
from harness.reporting.tables.first_ids import first_ids_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.precision import as_written
from harness.reporting.tables.ranking import ranking_table
from harness.reporting.tables.study import chosen_table, study_table
from harness.reporting.tables.task_notes import task_notes_table
from harness.reporting.tables.versions import versions_table


class RunTables:
    """The tables of one run, each computed once. Columns: harness/analysis/columns.py."""

    def __init__(self, results: RunResults) -> None:
        self.results = results
        self.earlier = results.earlier_tables

    @cached_property
    def paired_scores(self) -> PairedScores:
        return PairedScores(self.results)

    @cached_property
    def leaderboard(self) -> Frame:
        return as_written("tables/leaderboard.csv", leaderboard(self.results, self.paired_scores))

    @cached_property
    def stability(self) -> Frame:
        return as_written("tables/stability.csv", stability_table(self.results, self.paired_scores))

    @cached_property
    def drift(self) -> Frame:
        table = drift_table(self.results)
        return table if self.earlier is None else with_churn(self.earlier, table)

    @cached_property
    def comparisons(self) -> Frame:
        if self.earlier is not None:
            return earlier_comparisons(self.earlier)
        return as_written("tables/comparisons.csv", comparisons_table(self.paired_scores))

    @cached_property
    def ranking(self) -> Frame:
        table = ranking_table(self.paired_scores, self.leaderboard, self.stability, self.comparisons)
        return as_written("tables/standing.csv", table if self.earlier is None else with_prob_best(self.earlier, table))

    @cached_property
    def collapse(self) -> Frame:
        return collapse_table(self.results)

    @cached_property
    def task_notes(self) -> Frame:
        return task_notes_table(self.results, self.comparisons)

    @cached_property
    def study(self) -> Frame:
        return study_table(self.results, self.leaderboard)

    @cached_property
    def chosen(self) -> Frame:
        return chosen_table(self.results)

    @cached_property
    def versions(self) -> Frame:
        return versions_table(self.results) if self.earlier is None else earlier_versions(self.results, self.earlier)

    def files(self, everything: bool = True) -> dict[str, Frame]:
        """Path in the run folder -> table, of every csv file that this run has.

        everything=False leaves out what takes long (comparisons and what is made of them).
        """
        results = self.results
        tables = {
            "scores.csv": results.scores,
            "training.csv": results.training,
            "dynamics.csv": results.dynamics,
            "tables/leaderboard.csv": self.leaderboard,
            "tables/stability.csv": self.stability,
            "tables/drift.csv": self.drift,
            "tables/cost.csv": results.costs,
        }
        if results.unaveraged_tasks:
            tables["tables/beside.csv"] = unaveraged_table(results, self.paired_scores)
        if everything:
            tables |= self._slow_files()
        not_written = tables_not_written(self.earlier) if self.earlier is not None else set()
        return {name: as_written(name, table) for name, table in tables.items() if name not in not_written}

    def _slow_files(self) -> dict[str, Frame]:
        tables = {
            "tables/comparisons.csv": self.comparisons,
            "tables/standing.csv": self.ranking,
            "tables/collapse.csv": self.collapse,
            "tables/task_notes.csv": self.task_notes,
            "tables/cost_total.csv": cost_totals(self.results),
            "tables/versions.csv": self.versions,
        }
        if not (first_ids := first_ids_table(self.results)).empty:  # runs of earlier versions have none
            tables["tables/first_ids.csv"] = first_ids
        if self.results.study.get("arms"):
            tables["tables/study.csv"] = self.study
        if self.results.study.get("contrasts"):
            tables["tables/compute.csv"] = compute_table(self.results)
        if self.results.study.get("grid"):
            tables["tables/chosen.csv"] = self.chosen
        return tables
