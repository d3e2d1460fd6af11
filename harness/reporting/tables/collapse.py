"""Findings of the collapse detector, one row each, with where the evidence lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.collapse import Fall, Training, findings
from harness.analysis.facts import Facts, Frame
from harness.records import INITIAL
from harness.reporting.tables.leaderboard import mean_curves, share_array

COLUMNS = ["objective", "seed", "iteration", "finding", "evidence", "value", "bound", "source"]


def collapse_table(facts: Facts) -> Frame:
    """Every finding of every player shown, in order; empty when nothing happened."""
    measured = {
        key: dict(zip(rows["name"], rows["value"], strict=True))
        for key, rows in facts.dynamics.groupby(["objective", "seed", "iteration"], dropna=False)
    }
    initial = next((m for (objective, _, _), m in measured.items() if objective == INITIAL), {})
    trained = dict(iter(facts.training.groupby(["objective", "seed", "iteration"])))
    rows: list[tuple[Any, ...]] = []
    for objective in facts.variants:
        curves = mean_curves(facts, objective)
        errors = stats.item_stderr(share_array(facts, objective, errors=True).swapaxes(1, 2)) if facts.counted else curves
        for seed, curve, error in zip(facts.record["seeds"], curves, errors, strict=True):
            for t in range(len(curve)):
                key = (objective, seed, t)
                steps = trained.get(key)
                there = t and not np.isnan(curve[t - 1 : t + 1]).any()
                fall = Fall(float(curve[t - 1] - curve[t]), float(np.hypot(error[t - 1], error[t]))) if there else None
                training = training_of(steps) if steps is not None else None
                where = f"{objective}/seed-{seed}/iteration-{t}"
                for found in findings(initial, measured.get(key, {}), training, fall):
                    rows.append((*key, found.name, found.evidence, found.value, found.bound, where))
    return pd.DataFrame(rows, columns=COLUMNS)


def training_of(steps: Frame) -> Training:
    """The steps of one iteration -> their beginning and their last quarter."""
    end = steps.iloc[-max(1, len(steps) // 4) :]
    reference = "log_ratio_real" in steps and bool(steps["log_ratio_real"].notna().any())
    kind = "log_ratio" if reference else "logp"
    against = f"{kind}_synthetic"
    margin = (end[f"{kind}_real"] - end[against]).mean() if against in steps and steps[against].notna().any() else None
    return Training(
        len(steps), float(steps["loss"].iloc[0]), float(end["loss"].mean()), None if margin is None else float(margin), reference
    )
