"""The leaderboard in print: percent with its error, as cells, Markdown and LaTeX."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from harness.analysis.facts import Facts, Frame
from harness.analysis.score_scale import aside
from harness.records import INITIAL
from harness.security.escaping import latex, markdown, one_line

MISSING = "–"
NO_ERROR = 1e-9  # the rounding of sums


def percent(value: float) -> str:
    """A share as percent with one decimal; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{100 * value:.1f}"


def own(value: float) -> str:
    """A number in its row's own unit, four digits; a dash where there is none."""
    return MISSING if pd.isna(value) else f"{value:.4g}"


def with_interval(value: float, low: float = math.nan, high: float = math.nan, error: float = math.nan) -> str:
    """Percent with its interval, or ± the error of sampling items where there is none; a dash for no value.

    An error of 0, of answers that are all alike, is not printed: that nothing was seen to vary does not mean that nothing does.
    """
    if pd.isna(value):
        return MISSING
    if not pd.isna(low):
        return f"{percent(value)} [{percent(low)}, {percent(high)}]"
    return percent(value) + (f" ± {percent(error)}" if not pd.isna(error) and error > NO_ERROR else "")


def printed_rows(facts: Facts, board: Frame) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the leaderboard in print: percent, the mean with its error, the best iteration starred; then the rows
    that stand beside the mean, in their own units."""
    tasks, beside = facts.counted, facts.beside
    header = ["objective", "iter", *(row["label"] for row in tasks), "mean", "norm.", "seeds", *(row["label"] for row in beside)]
    rows = []
    for row in board.to_dict("records"):
        mean = with_interval(row["mean"], row["mean_low"], row["mean_high"], row["item_stderr"])
        rows.append(
            [
                row["objective"],
                "initial" if row["objective"] == INITIAL else str(row["iteration"]),
                *(percent(facts.scales[task["name"]].share(row[task["name"]])) for task in tasks),
                mean + (" *" if row["best"] else ""),
                percent(row["normalised_mean"]),
                MISSING if pd.isna(row["seeds"]) else str(row["seeds"]),
                *(own(row[task["name"]]) for task in beside),
            ]
        )
    return header, rows


def footnote(facts: Facts, safe: Callable[[Any], str] = one_line) -> str:
    """What the numbers of a leaderboard are: suite, items per task, the star, the errors. safe: how to show a suite's words."""
    suite = facts.suite
    mean = f"mean: plain mean of the {len(facts.counted)} tasks" if facts.counted else "no mean, which no task enters"
    scale = f" of the highest rating (45.0 is a mean rating of 4.5 of 10) by {safe(facts.judge)}" if facts.judge else ""
    return (
        f"Percent{scale}; suite {safe(suite['name'])} v{safe(suite['version'])}, {items_note(facts, safe)}; {mean}"
        f"{ranges_note(facts, safe)}{beside_note(facts, safe)}; in brackets: 95 % interval (t) over items "
        "and seeds; ±: standard error of sampling items alone (no interval below three seeds or five items a task); norm., "
        "normalised: chance 0, maximum 100; *: best iteration of its objective. Numbers in full: "
        "leaderboard.csv, their origin: scores.csv."
    )


def ranges_note(facts: Facts, safe: Callable[[Any], str] = one_line) -> str:
    """Which rows are shown as shares of a range of their own; nothing where none is."""
    said = []
    for row in facts.counted:
        if not (scale := facts.scales[row["name"]]).plain:
            way = "" if scale.higher else ", the lowest counts 100"
            said.append(f"{safe(row['label'])} ({safe(row['metric'])}) from {scale.low:g} to {scale.high:g}{way}")
    return f"; in percent of its range: {', '.join(said)}" if said else ""


def beside_note(facts: Facts, safe: Callable[[Any], str] = one_line) -> str:
    """Which rows stand beside the mean, and why; nothing where none does."""
    said = [safe(aside(row, facts.scales[row["name"]])) for row in facts.beside]
    return f"; beside the mean, in its own unit: {', '.join(said)}" if said else ""


def items_note(facts: Facts, safe: Callable[[Any], str] = one_line) -> str:
    """How many items every task has, and of tasks whose items share a question how many clusters these are."""
    counts = sorted({int(n) for n in facts.scores["n"]})
    if not counts:
        return "no task has been evaluated"
    said = f"n = {counts[0]} items per task" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]} items per task"
    shared = facts.scores[facts.scores["clusters"].notna() & (facts.scores["clusters"] < facts.scores["n"])]
    clusters = shared.groupby("label", sort=False)["clusters"].max()
    named = ", ".join(f"{safe(label)} {count}" for label, count in clusters.items())
    return said + (f" (items that share a question are one cluster: {named})" if named else "")


def as_markdown(facts: Facts, board: Frame) -> str:
    header, rows = printed_rows(facts, board)
    header, rows = [markdown(name) for name in header], [[markdown(label), *numbers] for label, *numbers in rows]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines) + "\n\n" + footnote(facts, markdown) + "\n"


def as_latex(facts: Facts, board: Frame) -> str:
    """A booktabs table to paste into a paper."""
    header, rows = printed_rows(facts, board)
    body = [" & ".join(latex(cell) for cell in cells) + r" \\" for cells in rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            rf"\begin{{tabular}}{{ll{'r' * (len(header) - 2)}}}",
            r"\toprule",
            " & ".join(latex(cell) for cell in header) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            "% " + footnote(facts, latex),
            "",
        ]
    )
