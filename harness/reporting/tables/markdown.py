"""The leaderboard as Markdown: the last iteration on top, highest mean first; every other row behind a click."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.analysis.facts import Frame, RunResults
from harness.records import INITIAL
from harness.reporting.tables.formatting import FULL_COLUMNS, footnote, leaderboard_rows, points
from harness.reporting.tables.precision import rounded
from harness.security.escaping import escape_markdown

NUM_KEYS = 2  # columns of text in front: objective, iteration
CHANGE_NOTE = "; change: the mean minus the start's, in points (its interval: comparisons.csv)"


def as_markdown(results: RunResults, leaderboard_table: Frame) -> str:
    """Two tables of the same columns: the mean, its change from the start, normalised mean, seeds, tasks, rows beside it."""
    header, rows = leaderboard_rows(results, leaderboard_table)
    num_tasks = len(results.averaged_tasks)
    mean = NUM_KEYS + num_tasks
    order = [0, 1, mean, -1, mean + 1, mean + 2, *range(NUM_KEYS, mean), *range(mean + 3, len(header))]
    header, rows = [*header, "change"], [[*row, change] for row, change in zip(rows, _changes(leaderboard_table), strict=True)]
    head = [escape_markdown(header[i]) for i in order]
    cells = [[escape_markdown(row[0]), *(row[i] for i in order[1:])] for row in rows]
    top, others = _split(leaderboard_table, results.record["iterations"] - 1)
    lines = _table(head, [cells[i] for i in top])
    if others:
        lines += [
            "",
            "<details><summary>Earlier iterations</summary>",
            "",
            *_table(head, [cells[i] for i in others]),
            "",
            "</details>",
        ]
    return "\n".join(lines) + "\n\n" + footnote(results, escape_markdown, FULL_COLUMNS + CHANGE_NOTE) + "\n"


def _changes(board: Frame) -> list[str]:
    """The mean minus the start's, in points; empty for the start itself and where one is missing."""
    starts = board.loc[board["objective"] == INITIAL, "mean"]
    start = starts.iloc[0] if len(starts) else float("nan")
    pairs = zip(board["objective"], board["mean"], strict=True)
    return ["" if objective == INITIAL or pd.isna(mean - start) else points(rounded(mean - start)) for objective, mean in pairs]


def _split(board: Frame, last: int) -> tuple[list[int], list[int]]:
    """Numbers of the rows on top (the start, then the last iteration, the highest mean first) and of the other ones."""
    keys = [(str(objective), int(t)) for objective, t in zip(board["objective"], board["iteration"], strict=True)]
    start = [i for i, (objective, _) in enumerate(keys) if objective == INITIAL]
    ends = [i for i, (objective, t) in enumerate(keys) if objective != INITIAL and t == last]
    means = board["mean"].fillna(float("-inf")).tolist()
    top = [*start, *sorted(ends, key=lambda i: -means[i])]
    return top, [i for i in range(len(keys)) if i not in top]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] * NUM_KEYS + ["---:"] * (len(head) - NUM_KEYS)
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]
