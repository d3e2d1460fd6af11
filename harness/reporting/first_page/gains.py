"""Gain in what: the tasks that carry it, the mean without them, and the tasks that say little or fell."""

from __future__ import annotations

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.records import INITIAL
from harness.reporting.display_text import display_text
from harness.reporting.first_page.numbers import PanelNumbers, apart, counted, listing
from harness.reporting.first_page.page import Sentence
from harness.reporting.tables.reading import Tables

MAX_NAMED = 5  # tasks of a kind; more are counted
NUM_CARRYING = 2  # tasks that are left out for the second mean
MIN_TASKS = 4  # below, a mean without two of them is no mean over tasks
WORDS = {
    "constant": "Constant, so that the score says little (one text or option's place for 95 % of the items)",
    "full": "Full (95 % or more), so that no gain can be seen",
    "at chance": "Within two standard errors of chance",
    "falling": "Lower at the last iteration than at the start (p < 0.05, Holm over the tasks)",
}


def gain_in_what(numbers: PanelNumbers) -> list[Sentence]:
    """The two tasks in which the reference gains most from the start to the last iteration, and every mean without them."""
    changes = _task_changes(numbers)
    if len(changes.columns) < MIN_TASKS or numbers.reference not in changes.index:
        return []
    of_reference, name = changes.loc[numbers.reference], numbers.names[numbers.reference]
    carrying = list(of_reference.sort_values(ascending=False, kind="stable").index[:NUM_CARRYING])
    if of_reference[carrying].min() <= 0:
        return [Sentence(f"{name} gains in fewer than two tasks.")]
    labels = {row["name"]: display_text(row["label"]) for row in numbers.tables.results.averaged_tasks}
    cells = [f"{labels[task]} ({of_reference[task]:+.0f}{_others(changes[task].drop(numbers.reference))})" for task in carrying]
    rest = changes.drop(columns=carrying).mean(axis=1)
    return [
        Sentence(
            f"{name} gains most in {listing(cells)}, in points from the start. Without these two its mean moves by "
            f"{rest[numbers.reference]:+.1f} in place of {of_reference.mean():+.1f}{_others(rest.drop(numbers.reference))}. They "
            "were chosen after seeing the scores: a description, no test."
        )
    ]


def _others(values: Frame) -> str:
    """; others -11 to +47, of those that there are."""
    if values.empty:
        return ""
    low, high = f"{values.min():+.0f}", f"{values.max():+.0f}"
    return f"; others {low}" + (f" to {high}" if low != high else "")


def _task_changes(numbers: PanelNumbers) -> Frame:
    """Points from the start to the last iteration: a row per complete objective, a column per task of the mean."""
    board, scales = numbers.tables.leaderboard, numbers.tables.results.scales
    start = numbers.tables.initial_scores()
    last = select(board, iteration=numbers.tables.last, objective=numbers.labels).set_index("objective")
    columns = {
        row["name"]: 100 * (last[row["name"]].map(scales[row["name"]].to_unit) - scales[row["name"]].to_unit(start[row["name"]]))
        for row in numbers.tables.results.averaged_tasks
    }
    return pd.DataFrame(columns, index=numbers.labels).dropna()


def task_notes(tables: Tables, names: dict[str, str]) -> list[Sentence]:
    """One sentence per kind of note; up to MAX_NAMED tasks of a kind are named, with the objectives it is true of."""
    notes = tables.optional("tables/task_notes.csv")
    if notes is None:  # runs of earlier versions
        return []
    notes = select(notes, objective=[INITIAL, *tables.results.variants])
    found = []
    for kind, rows in notes.groupby("note", sort=False):
        tasks = sorted(rows.groupby("label", sort=False), key=lambda task: -len(task[1]))
        cases = [f"{display_text(label)} ({_objectives(of_task, names, tables)})" for label, of_task in tasks[:MAX_NAMED]]
        more = len(tasks) - MAX_NAMED
        if more > 0:
            cases.append(f"and {counted(more, 'more task')}")
        found.append(Sentence(f"{WORDS.get(str(kind), str(kind))}: {'; '.join(cases)}.", alarm=kind != "full"))
    return found


def _objectives(rows: Frame, names: dict[str, str], tables: Tables) -> str:
    """The objectives it is true of, the start first; of a fall with its points."""
    if set(rows["note"]) == {"falling"}:
        falls = (f"{names[row['objective']]} {100 * row['value']:+.1f}" for row in rows.to_dict("records"))
        return apart(list(falls))
    variants = [label for label in rows["objective"] if label != INITIAL]
    if len(variants) > 2 and len(variants) == len(tables.results.variants):
        return ("start and " if INITIAL in set(rows["objective"]) else "") + "all"
    return apart(["start" if label == INITIAL else names[label] for label in rows["objective"]])
