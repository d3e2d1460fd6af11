"""Ranking of the objectives at the end of a run, with uncertainty: standing.csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.comparison import difference, prob_best
from harness.analysis.frames import Frame, select
from harness.analysis.stats import CONFIDENCE_LEVEL, Interval, tied
from harness.records import INITIAL
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.leaderboard import mean_curves
from harness.reporting.tables.mean_errors import mean_interval
from harness.reporting.tables.paired_scores import ModelKey, PairedScores

SINCE_BEST_COLUMNS = ("since_best", "since_best_low", "since_best_high", "since_best_p")


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
    rows = []
    for panel in results.panels:
        prob_best_by_label = prob_best_of(paired_scores, panel["labels"], last)
        last_rows = select(leaderboard_table, iteration=last, objective=panel["labels"]).dropna(subset="mean")
        leaders = list(last_rows.loc[tied(last_rows["mean"], last_rows["mean"].max()), "objective"]) if len(last_rows) else []
        for label in panel["labels"]:
            curve = select(leaderboard_table, objective=label).set_index("iteration")
            best = curve[curve["best"]]
            row: dict[str, Any] = {"panel": panel["title"], "objective": label, "seeds": 0}
            if len(best):
                best_iteration, last_row = int(best.index[0]), curve.loc[last]
                row |= {"seeds": int(last_row["seeds"]), "best_iteration": best_iteration}
                bounds = _best_interval(paired_scores, label, best_iteration) or (None, None)
                row |= _with_bounds("best", best.iloc[0]["mean"], *bounds) | {"best_item_stderr": best.iloc[0]["item_stderr"]}
                row |= _with_bounds("last", last_row["mean"], last_row["mean_low"], last_row["mean_high"])
                row["last_item_stderr"] = last_row["item_stderr"]
                row |= _change_since_best(paired_scores, label, best_iteration, last)
            for name in ("drop", "largest_fall", "falls", "area_lost", "churn"):
                for number in select(stability, objective=label, seed=None, name=name).to_dict("records"):
                    row |= _with_bounds(name, number["value"], number["low"], number["high"])
            if (gain := _find_comparison(comparisons, panel["title"], label, INITIAL)) is not None:
                row |= _with_bounds("gain", gain["difference"], gain["low"], gain["high"]) | {"gain_p_holm": gain["p_holm"]}
            is_leader = label in leaders
            behind = _find_comparison(comparisons, panel["title"], label, leaders[0]) if leaders and not is_leader else None
            row |= {"leader": is_leader, "behind_leader_p_holm": behind["p_holm"] if behind is not None else None}
            row["chance_best"] = prob_best_by_label.get(label)
            rows.append(row | {"source": "tables/leaderboard.csv, tables/stability.csv, tables/comparisons.csv"})
    table = pd.DataFrame(rows)
    for name in SINCE_BEST_COLUMNS:  # there where every best iteration is the last one, too
        if rows and name not in table:
            table[name] = np.nan
    return table


def _with_bounds(name: str, value: float, low: float | None, high: float | None) -> dict[str, Any]:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _best_interval(paired_scores: PairedScores, label: str, best_iteration: int) -> Interval | None:
    """The interval of the mean at the best iteration, at a level that is valid for all iterations at once."""
    results = paired_scores.results
    means = mean_curves(results, label)[:, best_iteration]
    seeds = [seed for seed, mean in zip(results.record["seeds"], means, strict=True) if not np.isnan(mean)]
    names = [row["name"] for row in results.averaged_tasks]
    level = 1 - (1 - CONFIDENCE_LEVEL) / results.record["iterations"]
    return mean_interval(paired_scores, ModelKey(label, best_iteration), seeds, names, means[~np.isnan(means)], level)


def _change_since_best(paired_scores: PairedScores, label: str, best_iteration: int, last: int) -> dict[str, Any]:
    """The last iteration minus the best one, where that is an earlier one, over the seeds that have finished both."""
    before, after = ModelKey(label, best_iteration), ModelKey(label, last)
    seeds = paired_scores.finished_seeds(before, after)
    if best_iteration == last or not seeds:
        return {}
    scores_after, scores_before = paired_scores.averaged_scores(after, seeds), paired_scores.averaged_scores(before, seeds)
    if scores_after is None or scores_before is None:
        return {}
    change = difference(scores_after, scores_before, num_comparisons=last)
    return _with_bounds("since_best", change.value, change.low, change.high) | {"since_best_p": change.p}


def _find_comparison(comparisons: Frame, panel: str, label: str, other: str) -> dict[str, Any] | None:
    rows = select(comparisons, panel=panel, task=MEAN_TASK, a=[label, other], b=[label, other])
    return rows.iloc[0].to_dict() if len(rows) else None


def prob_best_of(paired_scores: PairedScores, labels: Sequence[str], iteration: int) -> dict[str, float]:
    """Label -> probability of being the panel's best; empty unless every objective has finished all seeds (all are compared
    on the same ones), and below five items a task."""
    seeds = paired_scores.results.record["seeds"]
    models = [ModelKey(label, iteration) for label in labels]
    if len(models) < 2 or paired_scores.finished_seeds(*models) != seeds:
        return {}
    item_scores = [scores for model in models if (scores := paired_scores.averaged_scores(model, seeds)) is not None]
    if len(item_scores) < len(models) or (probabilities := prob_best(item_scores)) is None:
        return {}
    return {label: float(probability) for label, probability in zip(labels, probabilities, strict=True)}
