"""Tasks that say little, or fell: task_notes.csv, one row per finding about the start and every objective's last iteration."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers
from harness.analysis.task_notes import TaskNote, note_on_change, notes_on_score
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import unit_score_array

COLUMNS = ["objective", "iteration", "seeds", "task", "label", "note", "evidence", "value", "bound", "source"]


def task_notes_table(results: RunResults, comparisons: Frame) -> Frame:
    """In the order of objectives and of the suite; empty when there is nothing to say. comparisons: the table of that name."""
    rows: list[dict[str, Any]] = []
    last = results.record["iterations"] - 1
    for objective in [INITIAL, *results.variants]:
        iteration = INITIAL_ITERATION if objective == INITIAL else last
        scores, errors = unit_score_array(results, objective), unit_score_array(results, objective, errors=True)
        for n, row in enumerate(results.averaged_tasks):
            of_seeds, error = scores[:, n, -1], errors[:, n, -1]
            finished = ~np.isnan(of_seeds)
            where = {"objective": objective, "iteration": iteration, "task": row["name"], "label": row["label"]}
            where["seeds"] = int(finished.sum()) if objective != INITIAL else pd.NA
            if finished.any():
                # the seeds share their items, so their mean is no surer than one of them where items are concerned
                stderr = float(np.nanmean(error[finished])) if (~np.isnan(error[finished])).any() else 0.0
                chance = results.scales[row["name"]].to_unit(row["chance"])
                seeds = [None] if objective == INITIAL else results.record["seeds"]
                predictions = [_predictions(results, (objective, seed, iteration), row["name"]) for seed in seeds]
                found = notes_on_score(float(of_seeds[finished].mean()), stderr, chance, [p for p in predictions if p])
                rows += [_row(where, note, "scores.csv") for note in found]
            if (note := _change(comparisons, objective, row["name"])) is not None:
                rows.append(_row(where, note, "comparisons.csv"))
    return with_integers(pd.DataFrame(rows, columns=COLUMNS), "seeds")


def _row(where: dict[str, Any], note: TaskNote, source: str) -> dict[str, Any]:
    return where | {"note": note.note, "evidence": note.evidence, "value": note.value, "bound": note.bound, "source": source}


def _predictions(results: RunResults, key: Any, task: str) -> list[int]:
    return results.item_scores.get(key, {}).get(task, {}).get("predictions") or []


def _change(comparisons: Frame, objective: str, task: str) -> TaskNote | None:
    """Of the last iteration against the initial policy, as far as they were compared."""
    pairs = select(comparisons, a=objective, b=INITIAL, task=task).dropna(subset=["difference", "low", "high"])
    if pairs.empty:
        return None
    pair = pairs.iloc[0]
    return note_on_change(pair["difference"], pair["low"], pair["high"])
