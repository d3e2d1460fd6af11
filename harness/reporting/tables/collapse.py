"""Findings of the collapse detector, one row each, with the source of the evidence: collapse.csv."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.collapse import (
    Change,
    DataDrift,
    Finding,
    ScoreDrop,
    TaskChange,
    TrainingSummary,
    detect,
    detect_drift,
    detect_in_task,
)
from harness.analysis.facts import RunResults
from harness.analysis.frames import KEY_COLUMNS, Frame
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import mean_curves, unit_score_array

COLUMNS = [*KEY_COLUMNS, "finding", "evidence", "value", "bound", "source"]


def collapse_table(results: RunResults) -> Frame:
    """Every finding of every checkpoint shown, in order; empty when there is none."""
    groups = results.dynamics.groupby(KEY_COLUMNS, dropna=False)
    measurements_by_key = {key: dict(zip(rows["name"], rows["value"], strict=True)) for key, rows in groups}
    initial = next((m for (objective, _, _), m in measurements_by_key.items() if objective == INITIAL), {})
    steps_by_key = dict(iter(results.training.groupby(KEY_COLUMNS)))
    history = History(results)
    rows: list[tuple[Any, ...]] = []
    for objective in results.variants:
        for seed, curve, error in zip(results.record["seeds"], *_from_start(results, objective), strict=True):
            for t in range(results.record["iterations"]):
                key = (objective, seed, t)
                summary = summarize_training(steps_by_key[key]) if key in steps_by_key else None
                drop = None
                if not np.isnan(curve[t : t + 2]).any():
                    drop = ScoreDrop(float(curve[t] - curve[t + 1]), float(np.hypot(error[t], error[t + 1])))
                found = [*detect(initial, measurements_by_key.get(key, {}), summary, drop), *history.findings(objective, seed, t)]
                for finding in found:
                    source = f"{results.record['variants'][objective]['folder']}/seed-{seed}/iteration-{t}"
                    rows.append((*key, finding.name, finding.evidence, finding.value, finding.bound, source))
    return pd.DataFrame(rows, columns=COLUMNS)


def _from_start(results: RunResults, objective: str) -> tuple[np.ndarray, np.ndarray]:
    """(S, 1 + T) means over tasks, the initial policy's first, and their errors of sampling items."""

    def errors(of: str) -> np.ndarray:
        if not results.averaged_tasks:
            return np.full_like(mean_curves(results, of), np.nan)
        return stats.mean_stderr(unit_score_array(results, of, errors=True).swapaxes(1, 2))

    both = []
    for measured in (lambda of: mean_curves(results, of), errors):
        of_seeds = measured(objective)
        start = np.broadcast_to(measured(INITIAL)[:1, -1:], (len(of_seeds), 1))
        both.append(np.hstack([start, of_seeds]))
    return both[0], both[1]


class History:
    """Every checkpoint of a seed beside those before it, the initial policy first."""

    def __init__(self, results: RunResults) -> None:
        self.results = results
        measured = results.dynamics.groupby(KEY_COLUMNS, dropna=False)
        self.measured = {_key(key): rows.set_index("name")[["value", "stderr"]].astype(float) for key, rows in measured}
        scored = results.unit_scores.groupby([*KEY_COLUMNS, "task"], dropna=False)
        self.scores = {(_key(key[:3]), key[3]): float(rows["value"].iloc[0]) for key, rows in scored}
        self.errors = {
            (_key((r["objective"], r["seed"], r["iteration"])), r["task"]): results.scales[r["task"]].stderr_to_unit(r["stderr"])
            for r in results.scores.dropna(subset="stderr").to_dict("records")
        }

    def findings(self, objective: str, seed: int, iteration: int) -> Iterator[Finding]:
        """Those that need what came before this checkpoint."""
        now = (objective, seed, iteration)
        before = [(INITIAL, None, INITIAL_ITERATION), *((objective, seed, t) for t in range(iteration))]
        if drift := self._drift(now, before):
            yield from detect_drift(drift)
        for row in self.results.averaged_tasks:
            if task := self._task_change(row, now, before):
                yield from detect_in_task(task)

    def _drift(self, now: Any, before: list[Any]) -> DataDrift | None:
        names = ["kl_policy_data", "entropy_per_token"]
        known = [key for key in before if key in self.measured and set(names) <= set(self.measured[key].index)]
        if not known or now not in self.measured or not set(names) <= set(self.measured[now].index):
            return None
        nearest = min(known, key=lambda key: self.measured[key].at[names[0], "value"])
        kl, entropy = (self._change(name, nearest, now) for name in names)
        one, other = self._mean(nearest), self._mean(now)
        score = None if np.isnan(one + other) else Change(one, other, 0.0)
        return DataDrift(nearest[2], kl, entropy, score)

    def _mean(self, key: Any) -> float:
        """Over tasks; not a number where one is missing, or there is none."""
        scores = [self.scores.get((key, row["name"]), np.nan) for row in self.results.averaged_tasks]
        return float(np.mean(scores)) if scores else np.nan

    def _change(self, name: str, before: Any, now: Any) -> Change:
        one, other = self.measured[before].loc[name], self.measured[now].loc[name]
        return Change(one["value"], other["value"], float(np.hypot(one["stderr"], other["stderr"])))

    def _task_change(self, row: dict[str, Any], now: Any, before: list[Any]) -> TaskChange | None:
        task, known = row["name"], [key for key in before if (key, row["name"]) in self.scores]
        if not known or (now, task) not in self.scores:
            return None
        best = max(known, key=lambda key: self.scores[key, task])
        error = float(np.hypot(self.errors.get((best, task), np.nan), self.errors.get((now, task), np.nan)))
        score = Change(self.scores[best, task], self.scores[now, task], error)
        chance = self.results.scales[task].to_unit(row["chance"])
        return TaskChange(row["label"], chance, score, self._unanswered(task, now))

    def _unanswered(self, task: str, now: Any) -> Change | None:
        shares = []
        for key in ((INITIAL, None, INITIAL_ITERATION), now):
            items = self.results.item_scores.get(key, {}).get(task, {})
            if "unanswered" not in items:
                return None
            shares.append(items["unanswered"] / len(items["predictions"]))
        return Change(shares[0], shares[1], 0.0)


def _key(key: Any) -> tuple[str, int | None, int]:
    objective, seed, iteration = key
    return objective, None if pd.isna(seed) else int(seed), int(iteration)


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
