"""Findings of the collapse detector, one row each, with the source of the evidence: collapse.csv."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.collapse import ScoreDrop, TrainingSummary, detect
from harness.analysis.facts import RunResults
from harness.analysis.frames import KEY_COLUMNS, Frame
from harness.records import INITIAL
from harness.reporting.tables.leaderboard import mean_curves, unit_score_array

COLUMNS = [*KEY_COLUMNS, "finding", "evidence", "value", "bound", "source"]


def collapse_table(results: RunResults) -> Frame:
    """Every finding of every checkpoint shown, in order; empty when there is none."""
    groups = results.dynamics.groupby(KEY_COLUMNS, dropna=False)
    measurements_by_key = {key: dict(zip(rows["name"], rows["value"], strict=True)) for key, rows in groups}
    initial = next((m for (objective, _, _), m in measurements_by_key.items() if objective == INITIAL), {})
    steps_by_key = dict(iter(results.training.groupby(KEY_COLUMNS)))
    rows: list[tuple[Any, ...]] = []
    for objective in results.variants:
        curves = mean_curves(results, objective)
        errors = curves
        if results.averaged_tasks:
            errors = stats.mean_stderr(unit_score_array(results, objective, errors=True).swapaxes(1, 2))
        for seed, curve, error in zip(results.record["seeds"], curves, errors, strict=True):
            for t in range(len(curve)):
                key = (objective, seed, t)
                summary = summarize_training(steps_by_key[key]) if key in steps_by_key else None
                drop = None
                if t and not np.isnan(curve[t - 1 : t + 1]).any():
                    drop = ScoreDrop(float(curve[t - 1] - curve[t]), float(np.hypot(error[t - 1], error[t])))
                for finding in detect(initial, measurements_by_key.get(key, {}), summary, drop):
                    source = f"{objective}/seed-{seed}/iteration-{t}"
                    rows.append((*key, finding.name, finding.evidence, finding.value, finding.bound, source))
    return pd.DataFrame(rows, columns=COLUMNS)


def summarize_training(steps: Frame) -> TrainingSummary:
    """The steps of one iteration -> a summary of the first step and the last quarter."""
    last_quarter = steps.iloc[-max(1, len(steps) // 4) :]
    uses_reference = "log_ratio_real" in steps and bool(steps["log_ratio_real"].notna().any())
    kind = "log_ratio" if uses_reference else "logp"
    real, synthetic = f"{kind}_real", f"{kind}_synthetic"
    margin = None
    if synthetic in steps and steps[synthetic].notna().any():
        margin = float((last_quarter[real] - last_quarter[synthetic]).mean())
    first_loss, last_loss = float(steps["loss"].iloc[0]), float(last_quarter["loss"].mean())
    return TrainingSummary(len(steps), first_loss, last_loss, margin, uses_reference)
