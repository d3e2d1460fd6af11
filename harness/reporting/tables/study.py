"""The settings that a study chose, and its arms side by side: chosen.csv, study.csv."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers
from harness.errors import UserError
from harness.loop.study import Grid, choose
from harness.reporting.tables.compute import FORWARD_PASSES
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import item_stderr
from harness.reporting.tables.paired_scores import ModelKey, PairedScores

VALIDATION_COLUMNS = ("validation_last", "validation_best", "item_stderr_last")
SCORE_COLUMNS = ("mean", "mean_low", "mean_high", "item_stderr", "seeds")


def chosen_table(results: RunResults) -> Frame:
    """One row per objective and candidate of a study's grid: its validation mean at the last and at the best iteration, and
    whether it was chosen. Numbers are empty where a seed or iteration is missing. Raises UserError for a run without a grid."""
    grid = results.study.get("grid")
    if not grid:
        raise UserError(f"{results.root}: not a run that chooses settings; make one with: harness study lr")
    if results.earlier_tables is not None and (kept_table := results.earlier_tables.table("tables/chosen.csv")) is not None:
        return kept_table
    validation = RunResults(results.root, grid["validation"])
    paired_scores, seeds = PairedScores(validation), validation.record["seeds"]
    evaluated_labels = set(validation.scores["objective"])
    candidates = []
    for objective, values in grid["objectives"].items():
        for label, value in values:
            curve = mean_curves(validation, label).mean(axis=0) if label in evaluated_labels else np.full(1, np.nan)
            candidate = {"objective": objective, "key": grid["key"], "value": value, "label": label, "suite": grid["validation"],
                         "seeds": len(results.record["seeds"]), **dict.fromkeys(VALIDATION_COLUMNS)}  # fmt: skip
            if not np.isnan(curve).any():
                stderr = item_stderr(paired_scores, ModelKey(label, len(curve) - 1), seeds)
                candidate |= dict(zip(VALIDATION_COLUMNS, (float(curve[-1]), float(curve.max()), stderr), strict=True))
            candidates.append(candidate)
    return pd.DataFrame(choose(Grid(**{k: grid[k] for k in Grid.model_fields}), candidates))


def study_table(results: RunResults, leaderboard_table: Frame) -> Frame:
    """A study's arms side by side: scores at the iterations it shows and at the last, and the cost of each.

    Cost is per seed, over all iterations: tokens generated, scored and trained, together as passes (see `tables.compute`), and
    seconds of all phases but evaluation and diagnostics. An arm that has not finished an iteration has an empty score there.
    """
    last = results.record["iterations"] - 1
    shown = sorted({*results.study.get("iterations_shown", []), last})
    rows = []
    for arm in results.study.get("arms", []):
        by_iteration = select(leaderboard_table, objective=arm["label"]).set_index("iteration").to_dict("index")
        row = {"objective": arm["label"], "note": arm["note"], "pairs": results.record["variants"][arm["label"]].get("examples")}
        for t in shown:
            scores = by_iteration.get(t, {})
            row |= {f"{name}_iteration_{t}": scores.get(name) for name in SCORE_COLUMNS}
        costs = select(results.costs, objective=arm["label"])
        seeds, passes = costs["seed"].nunique(), 0
        for phase in ("generate", "score", "train"):
            tokens = select(costs, phase=phase)["tokens"].dropna()
            row[f"tokens_{phase}"] = round(tokens.sum() / seeds) if len(tokens) else None
            passes += FORWARD_PASSES[phase] * (row[f"tokens_{phase}"] or 0)
        seconds = select(costs, phase=list(FORWARD_PASSES))["seconds"]
        row["token_passes"] = passes if seeds else None
        row["seconds"] = round(float(seconds.sum()) / seeds, 1) if len(seconds) else None
        rows.append(row | {"source": "tables/leaderboard.csv, tables/cost.csv"})
    counts = ("pairs", "tokens_generate", "tokens_score", "tokens_train", "token_passes")
    return with_integers(pd.DataFrame(rows), *counts, *(f"seeds_iteration_{t}" for t in shown))
