"""An opened run: its numbers as pandas tables, comparisons, the figure and the table of a paper.

Columns, units and names are those of the csv files, see harness/docs/columns.md. Everything is made from the run's files when it
is asked for; what is not finished is missing, never zero. A run of which only the committed small files are there is enough.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from harness.analysis.facts import RunResults
from harness.analysis.long_tables import items_table, samples_table
from harness.errors import UserError, did_you_mean
from harness.files import make_folder
from harness.reporting.tables.across_runs import RunComparison, read_model
from harness.reporting.tables.across_runs import compare_runs as compare_two_runs
from harness.reporting.tables.comparisons import compare_models
from harness.reporting.tables.latex import TABLES as LATEX_TABLES
from harness.reporting.tables.latex import latex_table
from harness.reporting.tables.markdown import as_markdown
from harness.reporting.tables.run_tables import RunTables
from harness.security.escaping import to_csv_text
from harness.store.opening import open_run as open_run_folder
from harness.store.untrusted import explain_malformed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

T = TypeVar("T")
TableFormat = Literal["latex", "markdown", "csv"]


class Run:
    """One run folder, open for reading. Every table is a copy: changing it changes neither the run nor another table.

    Raises UserError, in the words of the command line, for a folder or file that the command line refuses.
    """

    def __init__(self, root: Path) -> None:
        """root: a validated run folder; use `harness.open_run`."""
        self.root = root

    def __repr__(self) -> str:
        seeds = len(self.record["seeds"])
        return f"<harness.Run {self.root}: {', '.join(self.objectives)}; {self.iterations} iterations, {seeds} seed(s)>"

    # ------------------------------------------------------------------ what was run

    @property
    def name(self) -> str:
        return self.root.resolve().name

    @property
    def record(self) -> dict[str, Any]:
        """run.json: the settings, variants, suites, versions and hardware of the run."""
        return self._results.record

    @property
    def objectives(self) -> list[str]:
        """The labels of the variants that tables show, in the order of the command."""
        return self._results.variants

    @property
    def iterations(self) -> int:
        return int(self.record["iterations"])

    @property
    def failed(self) -> dict[str, str]:
        """Trials that failed in the last command, each with its error in one line."""
        return self._read(lambda: dict(self._results.failed_trials))

    # ------------------------------------------------------------------ tables

    @property
    def scores(self) -> pd.DataFrame:
        """scores.csv: one row per checkpoint and task, in the task's own unit."""
        return self._table(lambda: self._results.scores)

    @property
    def training(self) -> pd.DataFrame:
        """training.csv: one row per optimizer step."""
        return self._table(lambda: self._results.training)

    @property
    def dynamics(self) -> pd.DataFrame:
        """dynamics.csv: one row per checkpoint and measurement on held-out prompts."""
        return self._table(lambda: self._results.dynamics)

    @property
    def leaderboard(self) -> pd.DataFrame:
        """leaderboard.csv: one row per objective and iteration, every task and their mean with its errors."""
        return self._table(lambda: self._tables.leaderboard)

    @property
    def stability(self) -> pd.DataFrame:
        """stability.csv: best, last, drops and churn of every curve; a row per number and seed, then one over seeds."""
        return self._table(lambda: self._tables.stability)

    @property
    def comparisons(self) -> pd.DataFrame:
        """comparisons.csv: every pair of objectives at the last iteration, and each against the initial policy."""
        return self._table(lambda: self._tables.comparisons)

    @property
    def collapse(self) -> pd.DataFrame:
        """collapse.csv: the findings of the collapse detector; empty where there is none."""
        return self._table(lambda: self._tables.collapse)

    @property
    def costs(self) -> pd.DataFrame:
        """cost.csv: tokens, seconds and peak memory of every phase."""
        return self._table(lambda: self._results.costs)

    @property
    def samples(self) -> pd.DataFrame:
        """Every checkpoint's responses to the same held-out prompts; to the first forty where only the small files are here."""
        return self._table(lambda: samples_table(self._results))

    @property
    def items(self) -> pd.DataFrame:
        """One row per checkpoint, task and test item: its score in the task's own unit, its cluster, its predicted answer."""
        return self._table(lambda: items_table(self._results))

    # ------------------------------------------------------------------ what a paper needs

    def compare(self, a: str, b: str) -> pd.DataFrame:
        """a minus b on the same items and seeds: a row for the mean over tasks, then one per task, with the columns of
        comparisons.csv (difference, 95 % interval, p, numbers of seeds and items).

        a, b: a label, at the last iteration, or LABEL@ITERATION (a number or `last`); `initial` is the untouched policy.
        Raises UserError for a model that the run does not have, or has not evaluated in any seed.
        """

        def compute() -> Any:
            if self._tables.earlier is not None:
                raise UserError(f"{self.root}: has tables alone, and no item scores to pair; see its comparisons")
            models = read_model(a, self._results), read_model(b, self._results)
            table = compare_models(self._tables.paired_scores, *models)
            if table.empty:
                raise UserError(f"{self.root}: {a} and {b} are not both evaluated in any seed; finish the run, then compare")
            return table

        return self._table(compute)

    def plot_stability(
        self,
        ax: Axes | None = None,
        panel: int = 0,
        *,
        width: float | None = None,
        font: str | None = None,
        palette: str | None = None,
        theme: str | None = None,
        title: str | None = None,
    ) -> Axes:
        """Draw the mean over tasks against the iteration, as in the report; returns the Axes, to restyle and save.

        ax: where to draw; without it a figure of its own is made: `run.plot_stability().figure.savefig("curves.pdf")`.
        panel: which of a study's panels. width: inches. The other options are those of `harness report`. Raises UserError where
        no task enters the mean, there is no such panel, or an option has no such value.
        """
        from harness.reporting.figures.options import figure_options  # matplotlib takes a second to load
        from harness.reporting.figures.scores import plot_panel  # likewise

        options = figure_options(() if width is None else (width,), font, palette, theme, title)
        return self._read(lambda: plot_panel(self._results, self._tables.leaderboard, panel, ax, options))

    def save_figures(
        self,
        folder: str | os.PathLike[str],
        *,
        widths: Sequence[float] = (),
        font: str | None = None,
        palette: str | None = None,
        theme: str | None = None,
        title: str | None = None,
    ) -> list[Path]:
        """Write every figure of the report into `folder` as PDF, SVG and PNG; returns their paths. The run folder stays as it is.

        widths: inches, in addition to the usual ones. Files of the same names are replaced. Raises UserError as `plot_stability`.
        """
        from harness.reporting.figures import write_figures  # matplotlib takes a second to load
        from harness.reporting.figures.options import figure_options  # likewise

        options = figure_options(widths, font, palette, theme, title)
        make_folder(Path(folder))
        return self._read(lambda: write_figures(self._results, self._tables, Path(folder), True, options))

    def table(self, format: TableFormat = "markdown", name: str = "leaderboard") -> str:
        """A table to paste: "latex" (booktabs, no wider than 5.5 in), or the leaderboard as "markdown" or as "csv", as in
        leaderboard.csv.

        name: of the LaTeX table: leaderboard, leaderboard_full (all iterations), standing, comparisons or stability. Raises
        UserError for another format or name, and where the run has nothing to show in it.
        """

        def compute() -> str:
            if format not in ("latex", "markdown", "csv"):
                raise UserError(f'table format "{format}": expected latex, markdown or csv')
            names = list(LATEX_TABLES) if format == "latex" else ["leaderboard"]
            if name not in names:
                raise UserError(f'table "{name}" as {format}: expected {", ".join(names)}{did_you_mean(name, names)}')
            if format == "csv":
                return to_csv_text(self._tables.leaderboard)
            if format == "markdown":
                return as_markdown(self._results, self._tables.leaderboard)
            if (text := latex_table(self._tables, name)) is None:
                raise UserError(f"{self.root}: has nothing to show as {name}; finish it with: harness run")
            return text

        return self._read(compute)

    # ------------------------------------------------------------------ reading

    @cached_property
    def _results(self) -> RunResults:
        with explain_malformed(self.root):
            return RunResults(self.root)

    @cached_property
    def _tables(self) -> RunTables:
        return RunTables(self._results)

    def _read(self, compute: Callable[[], T]) -> T:
        with explain_malformed(self.root):
            return compute()

    def _table(self, compute: Callable[[], Any]) -> pd.DataFrame:
        return self._read(lambda: compute().copy())


def open_run(run: str | os.PathLike[str], results: str | os.PathLike[str] = "results") -> Run:
    """Open a run by its name below `results`, or by its folder. Raises UserError with the nearest name where there is none.

    The numbers are those of when they are first asked for; open the run again while it goes on.
    """
    return Run(open_run_folder(os.fspath(run), Path(results)).root)


def compare_runs(a: str, b: str, results: str | os.PathLike[str] = "results") -> RunComparison:
    """Two runs side by side, as `harness compare A B`: a minus b over the items that both were evaluated on.

    a, b: `RUN`, `RUN:OBJECTIVE` or `RUN:OBJECTIVE@ITERATION`; RUN is a name below `results`, or a folder. The result's `table`
    has a row per pair of models for the mean and for every task, `settings` what differs between the runs. Raises UserError
    where shared tasks have other items, so that nothing can be paired.
    """
    return compare_two_runs(a, b, Path(results))
