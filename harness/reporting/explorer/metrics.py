"""What the explorer's grid shows: every mean, task and drift measure, by objective, seed and iteration, with its error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import stats
from harness.analysis.column_definitions import CHURN, DIAGNOSTICS
from harness.analysis.columns import HIGHER, LOWER
from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.figures.training import MEASUREMENT_LABELS
from harness.reporting.tables.curves import flip_rates
from harness.reporting.tables.leaderboard import mean_curves, unit_score_array
from harness.reporting.tables.mean_errors import item_stderr
from harness.reporting.tables.paired_scores import ModelKey, PairedScores
from harness.reporting.tables.reading import Tables

MEAN, NORMALISED, INTERQUARTILE = "mean", "normalised_mean", "interquartile_mean"
Row = tuple[str, int | None, int, float, float | None, float | None, float | None]
# objective, seed (None: the mean over seeds), iteration, value, low and high of the 95 % interval, standard error


def metrics(tables: Tables, paired_scores: PairedScores) -> list[dict[str, Any]]:
    """One entry per metric: id, label, group, unit ("%" for shares of 1), up (whether higher is better; None: neither), note on
    its error, source, and rows as in `Row`."""
    results = tables.results
    found = [*_means(tables, paired_scores), *_tasks(tables), *_measurements(tables)]
    order = {name: place for place, name in enumerate([INITIAL, *results.variants])}
    for metric in found:
        metric["rows"] = [row for row in metric["rows"] if row[0] in order and not _missing(row[3])]
    return [metric for metric in found if metric["rows"]]


def _missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def plain(value: Any) -> float | None:
    """A number for the page, in full: cut, it could be printed otherwise than in the report. None where it is missing."""
    return None if _missing(value) else float(value)


def _row(objective: str, seed: int | None, iteration: Any, value: Any, *errors: Any) -> Row:
    low, high, stderr = (plain(number) for number in (*errors, None, None, None)[:3])
    return objective, seed, int(iteration), plain(value), low, high, stderr  # type: ignore[return-value]


def _means(tables: Tables, paired_scores: PairedScores) -> Iterator[dict[str, Any]]:
    results = tables.results
    if not (count := len(results.averaged_tasks)):
        return
    board = tables.leaderboard.to_dict("records")
    over_seeds = [
        _row(r["objective"], None, r["iteration"], r[MEAN], r["mean_low"], r["mean_high"], r["item_stderr"]) for r in board
    ]
    labels = {MEAN: f"Mean of {count} tasks", NORMALISED: "Mean, chance 0", INTERQUARTILE: "Interquartile mean"}
    notes = {
        MEAN: "In brackets: 95 % interval over items and seeds; ±: standard error over items.",
        NORMALISED: "Each task with chance as 0 and the maximum as 100, then averaged. No error is computed for it.",
        INTERQUARTILE: "Mean of the middle half of all task scores, which outlying tasks do not move. No error is computed.",
    }
    seeds = list(_seed_means(results, paired_scores))
    for name in (MEAN, NORMALISED, INTERQUARTILE):
        rows = over_seeds if name == MEAN else [_row(r["objective"], None, r["iteration"], r[name]) for r in board]
        rows = rows + [row for metric, row in seeds if metric == name]
        yield {"id": name, "label": labels[name], "group": "Scores", "unit": "%", "up": True, "note": notes[name],
               "source": "leaderboard.csv", "rows": rows}  # fmt: skip


def _seed_means(results: RunResults, paired_scores: PairedScores) -> Iterator[tuple[str, Row]]:
    """The three means of every seed by itself. The initial policy has one row, which is the one over seeds already."""
    scales = [results.scales[row["name"]].to_unit(row["chance"]) for row in results.averaged_tasks]
    for objective in results.variants:
        shares, curves = unit_score_array(results, objective), mean_curves(results, objective)
        for place, seed in enumerate(results.record["seeds"]):
            for t in range(shares.shape[2]):
                values = shares[place, :, t]
                if np.isnan(values).any():
                    continue
                model = ModelKey(objective, t)
                stderr = item_stderr(paired_scores, model, [seed])
                yield MEAN, _row(objective, seed, t, curves[place, t], None, None, stderr)
                normalised = np.mean([stats.chance_normalised(v, c) for v, c in zip(values, scales, strict=True)])
                yield NORMALISED, _row(objective, seed, t, normalised)
                yield INTERQUARTILE, _row(objective, seed, t, stats.interquartile_mean(values[np.newaxis]))


def _tasks(tables: Tables) -> Iterator[dict[str, Any]]:
    results = tables.results
    for task in results.suite["task"]:
        name, scale = task["name"], results.scales[task["name"]]
        rows = [_row(r["objective"], None, r["iteration"], r[name]) for r in tables.leaderboard.to_dict("records")]
        own = select(results.scores, task=name)
        for r in own.to_dict("records"):
            if r["objective"] == INITIAL:
                start = _row(INITIAL, None, INITIAL_ITERATION, r["value"], None, None, r["stderr"])
                rows = [start, *(row for row in rows if row[0] != INITIAL)]
            else:
                rows.append(_row(r["objective"], int(r["seed"]), r["iteration"], r["value"], None, None, r["stderr"]))
        percent = scale.shown_in_percent
        note = "±: standard error over items, of one seed. Of the mean over seeds none is computed."
        yield {"id": f"task:{name}", "label": task["label"], "group": "Tasks", "unit": "%" if percent else str(task["metric"]),
               "up": scale.higher_is_better, "note": note, "source": "leaderboard.csv, scores.csv", "rows": rows}  # fmt: skip


def _measurements(tables: Tables) -> Iterator[dict[str, Any]]:
    results, drift = tables.results, tables.drift
    known = {entry.name: entry for entry in (*DIAGNOSTICS, CHURN)}
    directions = {HIGHER: True, LOWER: False}
    names = [name for name in MEASUREMENT_LABELS if (drift["name"] == name).any()]
    names += sorted(set(drift["name"]) - set(names))
    churn = [
        _row(o, s, t, value) for o in results.variants for s in results.record["seeds"] for t, value in _churn(results, o, s)
    ]
    for name in names:
        means = select(drift, name=name).to_dict("records")
        rows = [_row(r["objective"], None, r["iteration"], r["value"], r["low"], r["high"], r["stderr"]) for r in means]
        for r in select(results.dynamics, name=name).to_dict("records"):
            if r["objective"] != INITIAL:
                rows.append(_row(r["objective"], int(r["seed"]), r["iteration"], r["value"], None, None, r["stderr"]))
        rows += churn if name == "churn" else []
        meaning = f"{known[name].meaning[:1].upper()}{known[name].meaning[1:]}. " if name in known else ""
        errors = "In brackets: 95 % interval over seeds, on these prompts; ±: standard error over prompts (one seed)."
        label, unit = MEASUREMENT_LABELS.get(name, name), str(means[0]["unit"])
        yield {"id": f"drift:{name}", "label": label, "group": "Drift", "unit": unit,
               "up": directions.get(known[name].direction) if name in known else None, "note": meaning + errors,
               "source": "drift.csv, dynamics.csv", "rows": rows}  # fmt: skip


def _churn(results: RunResults, objective: str, seed: int) -> Iterator[tuple[int, float]]:
    return iter(()) if results.earlier_tables is not None else flip_rates(results, objective, seed)
