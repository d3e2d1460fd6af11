"""Tasks that say little, or fell: task_notes.csv, one row per finding.

About the start and the last evaluated iteration of every objective.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers
from harness.analysis.task_notes import Predictions, TaskNote, note_on_change, notes_on_score
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import unit_score_array

COLUMNS = ["objective", "iteration", "seeds", "task", "label", "note", "evidence", "value", "bound", "source"]


def task_notes_table(results: RunResults, comparisons: Frame) -> Frame:
    """In the order of objectives and of the suite; empty when there is nothing to say. comparisons: the table of that name."""
    rows: list[dict[str, Any]] = []
    for objective in [INITIAL, *results.variants]:
        scores, errors = unit_score_array(results, objective), unit_score_array(results, objective, errors=True)
        last = _last_evaluated(scores)
        iteration = INITIAL_ITERATION if objective == INITIAL else last
        for n, row in enumerate(results.averaged_tasks):
            of_seeds, error = scores[:, n, last], errors[:, n, last]
            finished = ~np.isnan(of_seeds)
            where = {"objective": objective, "iteration": iteration, "task": row["name"], "label": row["label"]}
            where["seeds"] = int(finished.sum()) if objective != INITIAL else pd.NA
            if finished.any():
                # the seeds share their items, so their mean is no surer than one of them where items are concerned
                stderr = float(np.nanmean(error[finished])) if (~np.isnan(error[finished])).any() else 0.0
                chance = results.scales[row["name"]].to_unit(row["chance"])
                seeds = [None] if objective == INITIAL else results.record["seeds"]
                predictions = [_predictions(results, (objective, seed, iteration), row["name"]) for seed in seeds]
                found = notes_on_score(float(of_seeds[finished].mean()), stderr, chance, [p for p in predictions if p.texts])
                rows += [_row(where, note, "scores.csv") for note in found]
            if (note := _change(comparisons, objective, iteration, row["name"])) is not None:
                rows.append(_row(where, note, "comparisons.csv"))
    return with_integers(pd.DataFrame(rows, columns=COLUMNS), "seeds")


def _row(where: dict[str, Any], note: TaskNote, source: str) -> dict[str, Any]:
    return where | {"note": note.note, "evidence": note.evidence, "value": note.value, "bound": note.bound, "source": source}


def _last_evaluated(scores: np.ndarray) -> int:
    """(S, K, T) scores -> the last t at which anything is known, T - 1 where nothing is."""
    known = np.flatnonzero((~np.isnan(scores)).any(axis=(0, 1)))
    return int(known[-1]) if known.size else scores.shape[2] - 1


def _predictions(results: RunResults, key: Any, task: str) -> Predictions:
    items = results.item_scores.get(key, {}).get(task, {})
    return Predictions(items.get("predictions") or [], items.get("chosen") or [])


def _change(comparisons: Frame, objective: str, iteration: int, task: str) -> TaskNote | None:
    """Against the initial policy, as far as they were compared."""
    pairs = select(comparisons, a=objective, iteration_a=iteration, b=INITIAL, task=task)
    pairs = pairs.dropna(subset=["difference", "low", "high", "p_holm"])
    if pairs.empty:
        return None
    pair = pairs.iloc[0]
    return note_on_change(pair["difference"], pair["low"], pair["high"], pair["p_holm"])
