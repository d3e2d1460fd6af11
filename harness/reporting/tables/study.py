"""What a study chose, and its arms side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd

from harness.analysis.facts import Facts, Frame
from harness.errors import UserError
from harness.loop.study import Grid, choose
from harness.reporting.tables.compute import PASSES
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import ItemErrors, item_stderr
from harness.reporting.tables.players import Arena, Player


def chosen_table(facts: Facts) -> Frame:
    """One row per objective and candidate of a study's grid: its validation mean at the last and at the best iteration, and
    whether it was chosen. Empty numbers where a seed or iteration is missing. Raises UserError for a run without a grid."""
    grid = facts.study.get("grid")
    if not grid:
        raise UserError(f"{facts.root}: is not a run that chooses settings; make one with: harness study lr")
    if facts.earlier is not None and (before := facts.earlier.table("tables/chosen.csv")) is not None:
        return before
    trial = Facts(facts.root, grid["validation"])
    errors, seeds = ItemErrors(Arena(trial)), trial.record["seeds"]
    scored = set(trial.scores["objective"])
    candidates = []
    for objective, values in grid["objectives"].items():
        for label, value in values:
            curve = mean_curves(trial, label).mean(axis=0) if label in scored else np.full(1, np.nan)
            whole = not np.isnan(curve).any()
            candidates.append(
                {
                    "objective": objective,
                    "key": grid["key"],
                    "value": value,
                    "label": label,
                    "suite": grid["validation"],
                    "seeds": len(facts.record["seeds"]),
                    "validation_last": float(curve[-1]) if whole else None,
                    "validation_best": float(curve.max()) if whole else None,
                    "item_stderr_last": item_stderr(errors, Player(label, len(curve) - 1), seeds) if whole else None,
                }
            )
    return pd.DataFrame(choose(Grid(**{k: grid[k] for k in Grid.model_fields}), candidates))


def study_table(facts: Facts, board: Frame) -> Frame:
    """A study's arms side by side: scores at the iterations it shows and at the last, and what each cost.

    Cost is per seed, over all iterations: tokens drawn, scored and trained, together as passes (see `tables.compute`), and
    seconds of all phases but evaluation and probe. An arm that has not finished an iteration has an empty score there.
    """
    last = facts.record["iterations"] - 1
    shown = sorted({*facts.study.get("iterations_shown", []), last})
    costs = facts.costs
    rows = []
    for arm in facts.study.get("arms", []):
        mine = board[board["objective"] == arm["label"]].set_index("iteration")
        row = {"objective": arm["label"], "note": arm["note"], "pairs": facts.record["variants"][arm["label"]].get("examples")}
        for t in shown:
            here = mine.loc[t] if t in mine.index else None
            for name in ("mean", "mean_low", "mean_high", "item_stderr", "seeds"):
                row[f"{name}_iteration_{t}"] = here[name] if here is not None else None
        spent = costs[costs["objective"] == arm["label"]]
        seeds = spent["seed"].nunique()
        for phase in ("generate", "score", "train"):
            tokens = spent.loc[spent["phase"] == phase, "tokens"].dropna()
            row[f"tokens_{phase}"] = round(tokens.sum() / seeds) if len(tokens) else None
        row["token_passes"] = sum(times * (row[f"tokens_{phase}"] or 0) for phase, times in PASSES.items()) if seeds else None
        seconds = spent.loc[spent["phase"].isin(["generate", "score", "train"]), "seconds"]
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
