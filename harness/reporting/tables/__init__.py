"""Facts of a run -> tidy csv files, the leaderboard in print, and figures. Never imports torch."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.facts import Facts
from harness.files import write_text
from harness.reporting import figures
from harness.reporting.tables.collapse import collapse_table
from harness.reporting.tables.comparisons import comparisons_table
from harness.reporting.tables.compute import compute_table
from harness.reporting.tables.cost import cost_totals
from harness.reporting.tables.curves import beside_table, drift_table, stability_table
from harness.reporting.tables.earlier import compared_before, stay, versions_before, with_chances, with_churn
from harness.reporting.tables.first_ids import first_ids_table
from harness.reporting.tables.leaderboard import leaderboard
from harness.reporting.tables.players import Arena
from harness.reporting.tables.printed import as_latex, as_markdown
from harness.reporting.tables.standing import standing_table
from harness.reporting.tables.study import chosen_table, study_table
from harness.reporting.tables.versions import versions_table
from harness.security.escaping import csv_text


def refresh(root: Path, everything: bool = True) -> list[Path]:
    """Write the tables and figures of a run folder anew; returns their paths. The same facts give the same bytes.

    everything=False leaves out what takes long (comparisons, all figures but the stability curves): what a watcher
    of a running game looks at.
    """
    facts = Facts(root)
    arena = Arena(facts)
    board, curves, drift = leaderboard(facts, arena), stability_table(facts, arena), drift_table(facts)
    earlier = facts.earlier
    if earlier is not None:
        drift = with_churn(earlier, drift)
    written = {
        "scores.csv": facts.scores,
        "training.csv": facts.training,
        "dynamics.csv": facts.dynamics,
        "tables/leaderboard.csv": board,
        "tables/stability.csv": curves,
        "tables/drift.csv": drift,
        "tables/cost.csv": facts.costs,
    }
    if facts.beside:
        written["tables/beside.csv"] = beside_table(facts, arena)
    if everything:
        compared = comparisons_table(arena) if earlier is None else compared_before(earlier)
        standing = standing_table(arena, board, curves, compared)
        written |= {
            "tables/comparisons.csv": compared,
            "tables/standing.csv": standing if earlier is None else with_chances(earlier, standing),
            "tables/collapse.csv": collapse_table(facts),
            "tables/cost_total.csv": cost_totals(facts),
            "tables/versions.csv": versions_table(facts) if earlier is None else versions_before(facts, earlier),
        }
        if not (first := first_ids_table(facts)).empty:  # runs made before this was measured have none
            written["tables/first_ids.csv"] = first
        if facts.study.get("arms"):
            written["tables/study.csv"] = study_table(facts, board)
        if facts.study.get("contrasts"):
            written["tables/compute.csv"] = compute_table(facts)
        if facts.study.get("grid"):
            written["tables/chosen.csv"] = chosen_table(facts)
    if earlier is not None:
        written = {name: table for name, table in written.items() if name not in stay(earlier)}
    (root / "tables").mkdir(exist_ok=True)
    (root / "tables/beside.csv").unlink(missing_ok=True)  # of a suite that had such rows
    for name, table in written.items():
        write_text(root / name, csv_text(table))
    write_text(root / "tables/leaderboard.md", as_markdown(facts, board))
    write_text(root / "tables/leaderboard.tex", as_latex(facts, board))
    names = [*written, "tables/leaderboard.md", "tables/leaderboard.tex"]
    return [*(root / name for name in names), *figures.write_all(facts, board, drift, facts.panels, root / "plots", everything)]
