"""Paired comparisons of two models, each an objective after an iteration, on the same items: comparisons.csv.

Both have the same items (their digests are compared) and the same seeds; a seed that one of the two has not finished is left out
of that comparison, whose `seeds` is the number included. The mean is compared in shares of 1, every task in its own unit; a row
without item scores is never paired: its numbers are empty, and so are the mean's where it enters the mean. Below five items
(clusters of items) a task there is a difference, and no interval and no p.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis import stats
from harness.analysis.comparison import OVER_ITEMS, ItemScores, difference, holm, mcnemar
from harness.analysis.frames import Frame, select, with_integers
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.tables.leaderboard import score_array
from harness.reporting.tables.paired_scores import ModelKey, PairedScores

COLUMNS = ["panel", "question", "a", "iteration_a", "b", "iteration_b", "task", "difference", "low", "high", "p", "p_holm",
           "mcnemar_p", "mcnemar_p_holm", "probability_of_improvement", "seeds", "items", "clusters", "over",
           "source"]  # fmt: skip
MEAN_TASK = "mean"


def is_bootstrap_table(table: Frame) -> bool:
    """Whether a committed comparisons.csv has the intervals and p-values of an earlier version, too narrow with few seeds."""
    return "redrawn" in table


def with_current_columns(table: Frame) -> Frame:
    """A committed comparisons.csv with the current columns; those it lacks are empty."""
    if is_bootstrap_table(table):
        table = table.rename(columns={"redrawn": "over"})
    table = table.reindex(columns=COLUMNS).fillna({"panel": "", "question": ""})
    return with_integers(table, "items", "clusters")


def turned_pair(rows: Frame, a: str, b: str) -> dict[str, Any] | None:
    """The row of two objectives, turned so that it reads a minus b; None without one."""
    for sign, (x, y) in ((1, (a, b)), (-1, (b, a))):
        for row in select(rows, a=x, b=y).head(1).to_dict("records"):
            low, high = sorted((sign * row["low"], sign * row["high"]))
            return row | {"difference": sign * row["difference"], "low": low, "high": high}
    return None


def comparisons_table(paired_scores: PairedScores) -> Frame:
    """Every pair of a panel at the last iteration, each model against the initial policy, and the study's own contrasts."""
    results = paired_scores.results
    rows: list[dict[str, Any]] = []
    last = results.record["iterations"] - 1
    initial_model = ModelKey(INITIAL, INITIAL_ITERATION)
    for panel in results.panels:
        last_models = [ModelKey(label, last) for label in panel["labels"]]
        pairs = [*itertools.combinations(last_models, 2), *((end, initial_model) for end in last_models)]
        rows += _comparison_rows(paired_scores, panel["title"], [("", a, b) for a, b in pairs])
    contrasts = [(c["question"], ModelKey(*c["a"]), ModelKey(*c["b"])) for c in results.study.get("contrasts", [])]
    rows += _comparison_rows(paired_scores, "study", contrasts)
    return with_number_types(pd.DataFrame(rows, columns=COLUMNS))


def compare_models(paired_scores: PairedScores, a: ModelKey, b: ModelKey) -> Frame:
    """Two models of a run: a row for the mean over tasks, then one for every task. No row where no seed has finished both."""
    table: Frame = pd.DataFrame(_comparison_rows(paired_scores, "", [("", a, b)]), columns=COLUMNS)
    return with_number_types(table).drop(columns=["panel", "question"])


def with_number_types(table: Frame) -> Frame:
    """Differences and probabilities as floats (missing where there is none), counts as integers."""
    numbers = COLUMNS[COLUMNS.index("difference") : COLUMNS.index("seeds")]
    return with_integers(table.astype(dict.fromkeys(numbers, float)), "items", "clusters")


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a model of a run, and the seeds that it is compared in, one for each of the other side's."""

    scores: PairedScores
    model: ModelKey
    seeds: Sequence[int]

    def averaged(self, names: Sequence[str]) -> ItemScores | None:
        return self.scores.averaged_scores(self.model, self.seeds, names)

    def task(self, name: str) -> ItemScores | None:
        return self.scores.task_scores(self.model, self.seeds, name)


def _comparison_rows(
    paired_scores: PairedScores, panel: str, pairs: Sequence[tuple[str, ModelKey, ModelKey]]
) -> list[dict[str, Any]]:
    """Rows per pair: the mean over tasks (its p adjusted over the panel's pairs), then every task (over tasks)."""
    results = paired_scores.results
    tasks, averaged = ([row["name"] for row in rows] for rows in (results.suite["task"], results.averaged_tasks))
    rows_by_pair = []
    for question, a, b in pairs:
        if seeds := paired_scores.finished_seeds(a, b):
            rows = pair_rows(Side(paired_scores, a, seeds), Side(paired_scores, b, seeds), tasks, averaged)
            rows_by_pair.append([{"panel": panel, "question": question, **row} for row in rows])
    adjust_means(rows_by_pair)
    return [row for rows in rows_by_pair for row in rows]


def adjust_means(rows_by_pair: Sequence[Sequence[dict[str, Any]]]) -> None:
    """Set p_holm of every pair's mean, its first row: adjusted over these pairs."""
    for rows, adjusted in zip(rows_by_pair, holm([rows[0]["p"] for rows in rows_by_pair]), strict=True):
        rows[0]["p_holm"] = adjusted


def pair_rows(a: Side, b: Side, tasks: Sequence[str], averaged: Sequence[str]) -> list[dict[str, Any]]:
    """a minus b: a row for the plain mean of the rows `averaged`, then one for each of `tasks`."""
    common = {"a": a.model.objective, "iteration_a": a.model.iteration, "b": b.model.objective, "iteration_b": b.model.iteration,
              "seeds": len(a.seeds)}  # fmt: skip
    with_improvement = len(a.seeds) > 1 and INITIAL not in (a.model.objective, b.model.objective)
    scores_a, scores_b = a.averaged(averaged), b.averaged(averaged)
    rows = [{**common, "task": MEAN_TASK, **_difference_columns(scores_a, scores_b)}]
    if with_improvement and scores_a is not None and scores_b is not None:
        rows[0]["probability_of_improvement"] = stats.probability_of_improvement(scores_a.per_seed, scores_b.per_seed)
    for name in tasks:
        scores_a, scores_b = a.task(name), b.task(name)
        row = {**common, "task": name, **_difference_columns(scores_a, scores_b)}
        if scores_a is not None and scores_b is not None and _mcnemar_applies(scores_a):
            row["mcnemar_p"] = mcnemar(scores_a.values[0], scores_b.values[0], scores_a.layouts[0])
        if with_improvement and not a.scores.results.scales[name].in_mean:
            row["probability_of_improvement"] = _task_improvement(a, b, name)
        rows.append(row)
    for name in ("p", "mcnemar_p"):
        for row, adjusted in zip(rows[1:], holm([row.get(name) for row in rows[1:]]), strict=True):
            row[f"{name}_holm"] = adjusted
    return rows


def _mcnemar_applies(scores: ItemScores) -> bool:
    """Whether McNemar's test has the hypothesis of the row's p: over items alone, with enough items and all of one weight.

    Where the p is over seeds as well, McNemar's test would take these seeds as given, and reject too often for others.
    """
    return scores.over == OVER_ITEMS and scores.has_enough_items and len(scores.layouts[0].parts) == 1


def _difference_columns(scores_a: ItemScores | None, scores_b: ItemScores | None) -> dict[str, Any]:
    """The difference with its interval and p; only a `source` that explains it where a side has no item scores."""
    if scores_a is None or scores_b is None:
        return {"p": None, "source": "none: not made of items that could be paired"}
    columns = vars(difference(scores_a, scores_b))
    return {**columns, "difference": columns["value"], "source": "items.json of both"}


def _task_improvement(a: Side, b: Side, task: str) -> float:
    """Probability that a random seed of a beats one of b in one row, in the row's direction; NaN where one is missing."""
    scores = []
    for side in (a, b):
        results = side.scores.results
        column = [row["name"] for row in results.suite["task"]].index(task)
        seed_rows = [results.record["seeds"].index(seed) for seed in side.seeds]
        scores.append(score_array(results, side.model.objective)[seed_rows][:, [column], side.model.iteration])
    sign = 1 if a.scores.results.scales[task].higher_is_better else -1
    return stats.probability_of_improvement(sign * scores[0], sign * scores[1])
