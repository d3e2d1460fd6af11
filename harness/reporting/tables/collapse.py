"""Findings of the collapse detector, one row each, with the source of the evidence: collapse.csv."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.collapse import ScoreDrop, TrainingSummary, detect
from harness.analysis.facts import Frame, RunResults
from harness.records import INITIAL
from harness.reporting.tables.leaderboard import mean_curves, unit_score_array

COLUMNS = ["objective", "seed", "iteration", "finding", "evidence", "value", "bound", "source"]


def collapse_table(results: RunResults) -> Frame:
    """Every finding of every checkpoint shown, in order; empty when there is none."""
    measurements_by_key = {
        key: dict(zip(rows["name"], rows["value"], strict=True))
        for key, rows in results.dynamics.groupby(["objective", "seed", "iteration"], dropna=False)
    }
    initial = next((m for (objective, _, _), m in measurements_by_key.items() if objective == INITIAL), {})
    steps_by_key = dict(iter(results.training.groupby(["objective", "seed", "iteration"])))
    rows: list[tuple[Any, ...]] = []
    for objective in results.variants:
        curves = mean_curves(results, objective)
        errors = (
            stats.mean_stderr(unit_score_array(results, objective, errors=True).swapaxes(1, 2))
            if results.averaged_tasks
            else curves
        )
        for seed, curve, error in zip(results.record["seeds"], curves, errors, strict=True):
            for t in range(len(curve)):
                key = (objective, seed, t)
                steps = steps_by_key.get(key)
                has_both = t and not np.isnan(curve[t - 1 : t + 1]).any()
                score_drop = (
                    ScoreDrop(float(curve[t - 1] - curve[t]), float(np.hypot(error[t - 1], error[t]))) if has_both else None
                )
                summary = summarize_training(steps) if steps is not None else None
                source = f"{objective}/seed-{seed}/iteration-{t}"
                for finding in detect(initial, measurements_by_key.get(key, {}), summary, score_drop):
                    rows.append((*key, finding.name, finding.evidence, finding.value, finding.bound, source))
    return pd.DataFrame(rows, columns=COLUMNS)


def summarize_training(steps: Frame) -> TrainingSummary:
    """The steps of one iteration -> a summary of the first step and the last quarter."""
    last_quarter = steps.iloc[-max(1, len(steps) // 4) :]
    uses_reference = "log_ratio_real" in steps and bool(steps["log_ratio_real"].notna().any())
    kind = "log_ratio" if uses_reference else "logp"
    synthetic_column = f"{kind}_synthetic"
    margin = (
        (last_quarter[f"{kind}_real"] - last_quarter[synthetic_column]).mean()
        if synthetic_column in steps and steps[synthetic_column].notna().any()
        else None
    )
    return TrainingSummary(
        len(steps),
        float(steps["loss"].iloc[0]),
        float(last_quarter["loss"].mean()),
        None if margin is None else float(margin),
        uses_reference,
    )
