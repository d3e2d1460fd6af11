"""What the first page must not be silent about: collapse, and tasks that are constant, full, at chance or falling."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.report.blocks import display_text
from harness.reporting.report.content.tables import Tables

SHOWN = 5  # of a kind; more are counted


def caution_sentences(tables: Tables) -> list[str]:
    """One sentence per kind of collapse and per kind of note on tasks; none where there is nothing of a kind."""
    return [*_collapse_sentences(tables), *_task_sentences(tables)]


def _collapse_sentences(tables: Tables) -> list[str]:
    """Of every kind the first finding of each objective, with its evidence."""
    findings = select(tables.read("tables/collapse.csv"), objective=tables.results.variants)
    lines = []
    for kind, rows in findings.groupby("finding", sort=False):
        cases = []
        for objective, of_objective in rows.groupby("objective", sort=False):
            first = of_objective.iloc[0]
            count = f", {len(of_objective)} times in all" if len(of_objective) > 1 else ""
            where = f"iteration {int(first['iteration'])}, seed {int(first['seed'])}"
            cases.append(f"{objective} ({where}: {display_text(first['evidence'])}{count})")
        lines.append(f"Collapse detector, {kind}: {listed(cases)}. All: collapse.csv.")
    return lines


def _task_sentences(tables: Tables) -> list[str]:
    notes = tables.optional("tables/task_notes.csv")
    if notes is None:  # runs of earlier versions
        return []
    notes = select(notes, objective=[INITIAL, *tables.results.variants])
    lines = []
    for kind, rows in notes.groupby("note", sort=False):
        cases = [f"{display_text(label)} ({_where(of_task)})" for label, of_task in rows.groupby("label", sort=False)]
        lines.append(f"Tasks {WORDS.get(str(kind), kind)}: {listed(cases)}. Evidence: task_notes.csv.")
    return lines


WORDS = {
    "constant": "whose predictions are constant (the same text or option's place for 95 % of the items or more), so that the "
    "score says little",
    "full": "that are full (95 % or more), so that no gain can be seen",
    "at chance": "within two standard errors of chance",
    "falling": "that fell from the start to the last iteration (p below 0.05, adjusted over the tasks)",
}


def _where(rows: Frame) -> str:
    """The objectives it is true of, the start first; of a fall with its points."""
    if set(rows["note"]) == {"falling"}:
        return ", ".join(
            f"{row['objective']} {display_text(row['evidence']).split(' since')[0]}" for row in rows.to_dict("records")
        )
    return ", ".join("start" if objective == INITIAL else objective for objective in rows["objective"])


def listed(cases: Sequence[str]) -> str:
    """Up to SHOWN of them, then how many more."""
    more = len(cases) - SHOWN
    return "; ".join([*cases[:SHOWN], *([f"and {more} more"] if more > 0 else [])])
