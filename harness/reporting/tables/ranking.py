"""Ranking of the objectives at the end of a run, with uncertainty: standing.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.comparison import difference, prob_best
from harness.analysis.facts import Frame
from harness.analysis.stats import CONFIDENCE_LEVEL, Interval, tied
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import ItemErrors, mean_interval
from harness.reporting.tables.paired_scores import ModelKey, PairedScores


def ranking_table(paired_scores: PairedScores, leaderboard_table: Frame, stability: Frame, comparisons: Frame) -> Frame:
    """One row per panel and objective: best and last iteration with intervals, drop, and the probability of being the best.

    `best` is selected from all trained iterations, so its interval is Bonferroni's for that many. `since_best` is the last
    iteration minus that best one, item by item and seed by seed, with Bonferroni's interval and p for the selection from all
    earlier iterations; empty where the last iteration is the best one. `chance_best`: probability of the highest mean at the last
    iteration (see `comparison.prob_best`). Several objectives may share the lead. `behind_leader_p_holm`: adjusted p of the
    difference to the panel's first leader at the last iteration, empty for leaders.
    """
    results = paired_scores.results
    last = results.record["iterations"] - 1
    errors = ItemErrors(paired_scores)
    rows = []
    for panel in results.panels:
        prob_best_by_label = prob_best_of(paired_scores, panel["labels"], last)
        last_rows = leaderboard_table[
            (leaderboard_table["iteration"] == last)
            & leaderboard_table["mean"].notna()
            & leaderboard_table["objective"].isin(panel["labels"])
        ]
        leaders = list(last_rows.loc[tied(last_rows["mean"], last_rows["mean"].max()), "objective"]) if len(last_rows) else []
        for label in panel["labels"]:
            label_rows = leaderboard_table[leaderboard_table["objective"] == label].set_index("iteration")
            best = label_rows[label_rows["best"]]
            row: dict[str, Any] = {"panel": panel["title"], "objective": label, "seeds": 0}
            if len(best):
                best_iteration, last_row = int(best.index[0]), label_rows.loc[last]
                row |= {
                    "seeds": int(last_row["seeds"]) if not pd.isna(last_row["seeds"]) else 0,
                    "best_iteration": best_iteration,
                }
                bounds = _best_interval(errors, label, best_iteration) or (None, None)
                row |= _mean_columns("best", best.iloc[0]["mean"], *bounds, best.iloc[0]["item_stderr"])
                row |= _mean_columns(
                    "last", last_row["mean"], last_row["mean_low"], last_row["mean_high"], last_row["item_stderr"]
                )
                row |= _change_since_best(paired_scores, label, best_iteration, last)
            for name in ("drop", "largest_fall", "falls", "area_lost", "churn"):
                value = stability[(stability["objective"] == label) & stability["seed"].isna() & (stability["name"] == name)]
                if len(value):
                    row |= {
                        name: value["value"].iloc[0],
                        f"{name}_low": value["low"].iloc[0],
                        f"{name}_high": value["high"].iloc[0],
                    }
            gain = _find_comparison(comparisons, panel["title"], label, INITIAL)
            if gain is not None:
                row |= {
                    "gain": gain["difference"],
                    "gain_low": gain["low"],
                    "gain_high": gain["high"],
                    "gain_p_holm": gain["p_holm"],
                }
            behind = (
                _find_comparison(comparisons, panel["title"], label, leaders[0]) if leaders and label not in leaders else None
            )
            row |= {
                "leader": label in leaders,
                "behind_leader_p_holm": behind["p_holm"] if behind is not None else None,
                "chance_best": prob_best_by_label.get(label),
                "source": "tables/leaderboard.csv, tables/stability.csv, tables/comparisons.csv",
            }
            rows.append(row)
    return pd.DataFrame(rows)


def _mean_columns(name: str, value: float, low: float | None, high: float | None, stderr: float) -> dict[str, Any]:
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_item_stderr": stderr}


def _best_interval(errors: ItemErrors, label: str, best_iteration: int) -> Interval | None:
    """The interval of the mean at the best iteration, at a level that is valid for all iterations at once."""
    results = errors.results
    means = mean_curves(results, label)[:, best_iteration]
    seeds = [seed for seed, mean in zip(results.record["seeds"], means, strict=True) if not np.isnan(mean)]
    level = 1 - (1 - CONFIDENCE_LEVEL) / results.record["iterations"]
    return mean_interval(
        errors,
        ModelKey(label, best_iteration),
        seeds,
        [r["name"] for r in results.averaged_tasks],
        means[~np.isnan(means)],
        level,
    )


def _change_since_best(paired_scores: PairedScores, label: str, best_iteration: int, last: int) -> dict[str, Any]:
    """The last iteration minus the best one, where that is an earlier one, over the seeds that have finished both."""
    before, after = ModelKey(label, best_iteration), ModelKey(label, last)
    seeds = [
        s
        for s in paired_scores.results.record["seeds"]
        if paired_scores.is_finished(before, s) and paired_scores.is_finished(after, s)
    ]
    if best_iteration == last or not seeds:
        return {}
    scores_after, scores_before = paired_scores.averaged_scores(after, seeds), paired_scores.averaged_scores(before, seeds)
    if scores_after is None or scores_before is None:
        return {}
    comparison = difference(scores_after, scores_before, num_comparisons=last)
    return {
        "since_best": comparison.value,
        "since_best_low": comparison.low,
        "since_best_high": comparison.high,
        "since_best_p": comparison.p,
    }


def _find_comparison(comparisons: Frame, panel: str, label: str, other: str) -> dict[str, Any] | None:
    rows = comparisons[(comparisons["panel"] == panel) & (comparisons["task"] == MEAN_TASK)]
    matching = rows[((rows["a"] == label) & (rows["b"] == other)) | ((rows["a"] == other) & (rows["b"] == label))]
    return matching.iloc[0].to_dict() if len(matching) else None


def prob_best_of(paired_scores: PairedScores, labels: Sequence[str], iteration: int) -> dict[str, float]:
    """Label -> probability of being the panel's best; empty unless every objective has finished all seeds (all are compared
    on the same ones), and below five items a task."""
    seeds = paired_scores.results.record["seeds"]
    models = [ModelKey(label, iteration) for label in labels]
    if len(models) < 2 or not all(paired_scores.is_finished(model, seed) for model in models for seed in seeds):
        return {}
    item_scores = [scores for model in models if (scores := paired_scores.averaged_scores(model, seeds)) is not None]
    if len(item_scores) < len(models) or (probabilities := prob_best(item_scores)) is None:
        return {}
    return {label: float(probability) for label, probability in zip(labels, probabilities, strict=True)}
