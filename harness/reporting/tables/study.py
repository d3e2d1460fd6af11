"""The settings that a study chose, and its arms side by side: chosen.csv, study.csv."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.analysis.facts import Frame, RunResults
from harness.errors import UserError
from harness.loop.study import Grid, choose
from harness.reporting.tables.compute import FORWARD_PASSES
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import ItemErrors, item_stderr
from harness.reporting.tables.paired_scores import ModelKey, PairedScores


def chosen_table(results: RunResults) -> Frame:
    """One row per objective and candidate of a study's grid: its validation mean at the last and at the best iteration, and
    whether it was chosen. Numbers are empty where a seed or iteration is missing. Raises UserError for a run without a grid."""
    grid = results.study.get("grid")
    if not grid:
        raise UserError(f"{results.root}: not a run that chooses settings; make one with: harness study lr")
    if results.earlier_tables is not None and (kept_table := results.earlier_tables.table("tables/chosen.csv")) is not None:
        return kept_table
    validation = RunResults(results.root, grid["validation"])
    errors, seeds = ItemErrors(PairedScores(validation)), validation.record["seeds"]
    evaluated_labels = set(validation.scores["objective"])
    candidates = []
    for objective, values in grid["objectives"].items():
        for label, value in values:
            curve = mean_curves(validation, label).mean(axis=0) if label in evaluated_labels else np.full(1, np.nan)
            is_complete = not np.isnan(curve).any()
            candidates.append(
                {
                    "objective": objective,
                    "key": grid["key"],
                    "value": value,
                    "label": label,
                    "suite": grid["validation"],
                    "seeds": len(results.record["seeds"]),
                    "validation_last": float(curve[-1]) if is_complete else None,
                    "validation_best": float(curve.max()) if is_complete else None,
                    "item_stderr_last": item_stderr(errors, ModelKey(label, len(curve) - 1), seeds) if is_complete else None,
                }
            )
    return pd.DataFrame(choose(Grid(**{k: grid[k] for k in Grid.model_fields}), candidates))


def study_table(results: RunResults, leaderboard_table: Frame) -> Frame:
    """A study's arms side by side: scores at the iterations it shows and at the last, and the cost of each.

    Cost is per seed, over all iterations: tokens generated, scored and trained, together as passes (see `tables.compute`), and
    seconds of all phases but evaluation and diagnostics. An arm that has not finished an iteration has an empty score there.
    """
    last = results.record["iterations"] - 1
    shown = sorted({*results.study.get("iterations_shown", []), last})
    costs = results.costs
    rows = []
    for arm in results.study.get("arms", []):
        arm_scores = leaderboard_table[leaderboard_table["objective"] == arm["label"]].set_index("iteration")
        row = {"objective": arm["label"], "note": arm["note"], "pairs": results.record["variants"][arm["label"]].get("examples")}
        for t in shown:
            scores_at = arm_scores.loc[t] if t in arm_scores.index else None
            for name in ("mean", "mean_low", "mean_high", "item_stderr", "seeds"):
                row[f"{name}_iteration_{t}"] = scores_at[name] if scores_at is not None else None
        arm_costs = costs[costs["objective"] == arm["label"]]
        seeds = arm_costs["seed"].nunique()
        for phase in ("generate", "score", "train"):
            tokens = arm_costs.loc[arm_costs["phase"] == phase, "tokens"].dropna()
            row[f"tokens_{phase}"] = round(tokens.sum() / seeds) if len(tokens) else None
        row["token_passes"] = (
            sum(times * (row[f"tokens_{phase}"] or 0) for phase, times in FORWARD_PASSES.items()) if seeds else None
        )
        seconds = arm_costs.loc[arm_costs["phase"].isin(["generate", "score", "train"]), "seconds"]
        row["seconds"] = round(float(seconds.sum()) / seeds, 1) if len(seconds) else None
        row["source"] = "tables/leaderboard.csv, tables/cost.csv"
        rows.append(row)
    table: Frame = pd.DataFrame(rows)
    for column in (
        "pairs",
        "tokens_generate",
        "tokens_score",
        "tokens_train",
        "token_passes",
        *(f"seeds_iteration_{t}" for t in shown),
    ):
        if column in table:
            table[column] = table[column].astype("Int64")
    return table
