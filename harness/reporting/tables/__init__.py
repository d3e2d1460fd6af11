"""Results of a run -> tidy csv files, the leaderboard as Markdown and LaTeX, and figures. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.facts import RunResults
from harness.files import write_text
from harness.reporting import figures
from harness.reporting.figures.options import DEFAULT, FigureOptions
from harness.reporting.figures.stale import remove_stale, write_choice
from harness.reporting.tables.bibliography import as_bibtex
from harness.reporting.tables.latex import TABLES, latex_table
from harness.reporting.tables.markdown import as_markdown
from harness.reporting.tables.run_tables import RunTables
from harness.security.escaping import to_csv_text


def refresh(root: Path, everything: bool = True, options: FigureOptions = DEFAULT) -> list[Path]:
    """Write the tables and figures of a run folder anew; returns their paths. The same phases give the same bytes.

    everything=False leaves out what takes long (comparisons, all figures but the stability curves): it writes what is shown
    while a run is in progress. options: of the figures; they are recorded beside them.
    """
    results = RunResults(root)
    tables = RunTables(results)
    files = tables.files(everything)
    (root / "tables").mkdir(exist_ok=True)
    (root / "tables/beside.csv").unlink(missing_ok=True)  # left by a suite that had such rows
    for name, table in files.items():
        write_text(root / name, to_csv_text(table))
    write_text(root / "tables/leaderboard.md", as_markdown(results, tables.leaderboard))
    write_text(root / "tables/cite.bib", as_bibtex(results))
    printed = _write_latex(root, tables) if everything else []
    drawn = figures.write_figures(results, tables, root / "plots", everything, options)
    if everything:
        remove_stale(root / "plots", {path.name for path in drawn})
        write_choice(root / "plots", options)
    return [*(root / name for name in (*files, "tables/leaderboard.md", "tables/cite.bib")), *printed, *drawn]


def _write_latex(root: Path, tables: RunTables) -> list[Path]:
    """The tables for a paper; one that has nothing to show is not there."""
    written = []
    for name in TABLES:
        path, text = root / f"tables/{name}.tex", latex_table(tables, name)
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_text(path, text)
            written.append(path)
    return written
