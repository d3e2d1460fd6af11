"""The leaderboard in print: percent with its error, as cells, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from harness.analysis.facts import Frame, RunResults
from harness.analysis.score_scale import describe_unaveraged
from harness.analysis.stats import SIGNIFICANCE_LEVEL
from harness.records import INITIAL
from harness.security.escaping import one_line

DASH = "–"
FULL_COLUMNS = "; norm., normalised: chance 0, maximum 100; *: best iteration of its objective"
SMALLEST_P = 0.001  # smaller ones are printed as a bound
NO_ERROR = 1e-9  # the rounding of sums


def percent(value: float) -> str:
    """A share as percent with one decimal; a dash where there is none."""
    return DASH if pd.isna(value) else f"{100 * value:.1f}"


def own_unit(value: float) -> str:
    """A number in its row's own unit, four digits; a dash where there is none."""
    return DASH if pd.isna(value) else f"{value:.4g}"


def points(value: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{0.0 if abs(value) < NO_ERROR else 100 * value:+.1f}"


def brackets(low: float, high: float, show: Callable[[float], str]) -> str:
    """An interval, to stand behind its value; empty where there is none."""
    return "" if pd.isna(low) else f" [{show(low)}, {show(high)}]"


def p_value(value: float) -> str:
    """A probability with three decimals, or as many as keep it on its side of a level; a dash where there is none."""
    if pd.isna(value):
        return DASH
    if value < SMALLEST_P:
        return f"< {SMALLEST_P}"
    shown = (f"{value:.{digits}f}" for digits in range(3, 17))
    return next(text for text in shown if stars(float(text)) == stars(value))


def stars(p: float) -> str:
    """How far a p is below the levels: ** below 0.01, * below 0.05; empty without one."""
    return "" if pd.isna(p) else "**" if p < 0.01 else "*" if p < SIGNIFICANCE_LEVEL else ""


def with_interval(value: float, low: float = math.nan, high: float = math.nan, error: float = math.nan) -> str:
    """Percent with its interval, or ± the error of sampling items where there is none; a dash for no value.

    An error of 0, of answers that are all equal, is not printed: no observed variation does not mean that there is none.
    """
    if pd.isna(value):
        return DASH
    if not pd.isna(low):
        return percent(value) + brackets(low, high, percent)
    return percent(value) + (f" ± {percent(error)}" if not pd.isna(error) and error > NO_ERROR else "")


def leaderboard_rows(results: RunResults, leaderboard_table: Frame) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the leaderboard in print: percent, the mean with its error, the best iteration starred; then the rows
    that are not in the mean, in their own units."""
    tasks, unaveraged = results.averaged_tasks, results.unaveraged_tasks
    header = ["objective", "iter", *(row["label"] for row in tasks), "mean", "norm.", "seeds", *(r["label"] for r in unaveraged)]
    rows = []
    for row in leaderboard_table.to_dict("records"):
        iteration = "start" if row["objective"] == INITIAL else str(row["iteration"])
        shares = [percent(results.scales[task["name"]].to_unit(row[task["name"]])) for task in tasks]
        mean = with_interval(row["mean"], row["mean_low"], row["mean_high"], row["item_stderr"]) + (" *" if row["best"] else "")
        seeds = DASH if pd.isna(row["seeds"]) else str(row["seeds"])
        others = [own_unit(row[task["name"]]) for task in unaveraged]
        rows.append([row["objective"], iteration, *shares, mean, percent(row["normalised_mean"]), seeds, *others])
    return header, rows


def footnote(results: RunResults, safe: Callable[[Any], str] = one_line, more: str = "") -> str:
    """What the columns of a leaderboard are: suite, items per task, errors. safe: escapes the suite's texts; more: on columns
    that not every leaderboard has."""
    suite = results.suite
    averaged = len(results.averaged_tasks)
    mean = f"mean: plain mean of the {averaged} tasks" if averaged else "no mean, which no task enters"
    judge = results.judge_name
    scale = f" of the highest rating (45.0 is a mean rating of 4.5 of 10) by {safe(judge)}" if judge else ""
    return (
        f"Percent{scale}; suite {safe(suite['name'])} v{safe(suite['version'])}, {items_note(results, safe)}; {mean}"
        f"{ranges_note(results, safe)}{unaveraged_note(results, safe)}; in brackets: 95 % interval (t) over items "
        f"and seeds; ±: standard error of sampling items alone (no interval below three seeds or five items a task){more}. "
        "Numbers in full: leaderboard.csv, their origin: scores.csv."
    )


def ranges_note(results: RunResults, safe: Callable[[Any], str] = one_line) -> str:
    """Which rows are shown as shares of a range of their own; empty where none is."""
    ranges = []
    for row in results.averaged_tasks:
        if not (scale := results.scales[row["name"]]).is_identity:
            direction = "" if scale.higher_is_better else ", the lowest counts 100"
            ranges.append(f"{safe(row['label'])} ({safe(row['metric'])}) from {scale.low:g} to {scale.high:g}{direction}")
    return f"; in percent of its range: {', '.join(ranges)}" if ranges else ""


def unaveraged_note(results: RunResults, safe: Callable[[Any], str] = one_line) -> str:
    """Which rows are not in the mean, and why; empty where all are."""
    descriptions = [safe(describe_unaveraged(row, results.scales[row["name"]])) for row in results.unaveraged_tasks]
    return f"; beside the mean, in its own unit: {', '.join(descriptions)}" if descriptions else ""


def items_note(results: RunResults, safe: Callable[[Any], str] = one_line, brief: bool = False) -> str:
    """Number of items per task, and of clusters for tasks whose items share questions; brief: their range alone."""
    counts = sorted({int(n) for n in results.scores["n"]})
    if not counts:
        return "no task has been evaluated"
    note = f"n = {_span(counts)} items per task"
    clustered = results.scores[results.scores["clusters"].notna() & (results.scores["clusters"] < results.scores["n"])]
    clusters = clustered.groupby("label", sort=False)["clusters"].max()
    if clusters.empty:
        return note
    cluster_counts = ", ".join(f"{safe(label)} {count}" for label, count in clusters.items())
    return (
        f"{note} in {_span(sorted(clusters))} clusters"
        if brief
        else (f"{note} (items that share a question are one cluster: {cluster_counts})")
    )


def _span(counts: Sequence[int]) -> str:
    """400; 39 to 126, of sorted numbers."""
    return f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
