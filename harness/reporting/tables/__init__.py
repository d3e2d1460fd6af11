"""Results of a run -> tidy csv files, the leaderboard as Markdown and LaTeX, and figures. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.facts import RunResults
from harness.files import write_text
from harness.reporting import figures
from harness.reporting.tables.collapse import collapse_table
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.compute import compute_table, cost_totals
from harness.reporting.tables.curves import drift_table, stability_table, unaveraged_table
from harness.reporting.tables.earlier import earlier_comparisons, earlier_versions, tables_not_written, with_churn, with_prob_best
from harness.reporting.tables.first_ids import first_ids_table
from harness.reporting.tables.formatting import as_latex, as_markdown
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.paired_scores import PairedScores
from harness.reporting.tables.ranking import ranking_table
from harness.reporting.tables.study import chosen_table, study_table
from harness.reporting.tables.task_notes import task_notes_table
from harness.reporting.tables.versions import versions_table
from harness.security.escaping import to_csv_text


def refresh(root: Path, everything: bool = True) -> list[Path]:
    """Write the tables and figures of a run folder anew; returns their paths. The same phases give the same bytes.

    everything=False leaves out what takes long (comparisons, all figures but the stability curves): it writes what is shown
    while a run is in progress.
    """
    results = RunResults(root)
    paired_scores = PairedScores(results)
    leaderboard_table, stability = leaderboard(results, paired_scores), stability_table(results, paired_scores)
    earlier_tables = results.earlier_tables
    drift = drift_table(results) if earlier_tables is None else with_churn(earlier_tables, drift_table(results))
    tables = {
        "scores.csv": results.scores,
        "training.csv": results.training,
        "dynamics.csv": results.dynamics,
        "tables/leaderboard.csv": leaderboard_table,
        "tables/stability.csv": stability,
        "tables/drift.csv": drift,
        "tables/cost.csv": results.costs,
    }
    if results.unaveraged_tasks:
        tables["tables/beside.csv"] = unaveraged_table(results, paired_scores)
    if everything:
        comparisons = comparisons_table(paired_scores) if earlier_tables is None else earlier_comparisons(earlier_tables)
        ranking = ranking_table(paired_scores, leaderboard_table, stability, comparisons)
        versions = versions_table(results) if earlier_tables is None else earlier_versions(results, earlier_tables)
        tables |= {
            "tables/comparisons.csv": comparisons,
            "tables/standing.csv": ranking if earlier_tables is None else with_prob_best(earlier_tables, ranking),
            "tables/collapse.csv": collapse_table(results),
            "tables/task_notes.csv": task_notes_table(results, comparisons),
            "tables/cost_total.csv": cost_totals(results),
            "tables/versions.csv": versions,
        }
        if not (first_ids := first_ids_table(results)).empty:  # runs of earlier versions have none
            tables["tables/first_ids.csv"] = first_ids
        if results.study.get("arms"):
            tables["tables/study.csv"] = study_table(results, leaderboard_table)
        if results.study.get("contrasts"):
            tables["tables/compute.csv"] = compute_table(results)
        if results.study.get("grid"):
            tables["tables/chosen.csv"] = chosen_table(results)
    if earlier_tables is not None:
        tables = {name: table for name, table in tables.items() if name not in tables_not_written(earlier_tables)}
    (root / "tables").mkdir(exist_ok=True)
    (root / "tables/beside.csv").unlink(missing_ok=True)  # left by a suite that had such rows
    for name, table in tables.items():
        write_text(root / name, to_csv_text(table))
    write_text(root / "tables/leaderboard.md", as_markdown(results, leaderboard_table))
    write_text(root / "tables/leaderboard.tex", as_latex(results, leaderboard_table))
    drawn = figures.write_figures(results, leaderboard_table, drift, results.panels, root / "plots", everything)
    return [*(root / name for name in (*tables, "tables/leaderboard.md", "tables/leaderboard.tex")), *drawn]
