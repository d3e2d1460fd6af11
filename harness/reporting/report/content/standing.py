"""Where every objective ends and how steadily it got there: one row each, with the stability of its curve; then the pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.display_text import display_text
from harness.reporting.figures.stability.compose import stability_caption
from harness.reporting.figures.study.first import STABILITY_FIGURE, study_figure_name
from harness.reporting.first_page.numbers import PanelNumbers
from harness.reporting.report.blocks import Block, in_panel, section, table
from harness.reporting.report.content.figures import figure_block
from harness.reporting.tables.formatting import DASH, brackets, items_note, percent, points, stars, with_interval
from harness.reporting.tables.reading import Tables

MAX_SQUARE = 6  # objectives whose pairs are shown as a square; of more they are in comparisons.csv
STATISTICS = ("drop", "largest_fall", "falls", "churn")


def standing_section(tables: Tables) -> Block:
    panels = [PanelNumbers(tables, panel) for panel in tables.panels]
    blocks = [block for numbers in panels for block in (standing_table(numbers), pairs_table(numbers))]
    return section("Where they end, and how steadily", *blocks, _stability_figure(tables))


def _stability_figure(tables: Tables) -> Block | None:
    """Where the first page shows a study's own figure in its place."""
    if study_figure_name(tables.results) == STABILITY_FIGURE:
        return None
    return figure_block(tables, STABILITY_FIGURE, 1, stability_caption(items_note(tables.results, display_text, brief=True)))


def standing_table(numbers: PanelNumbers) -> Block | None:
    tables = numbers.tables
    board = select(tables.leaderboard, iteration=tables.last).set_index("objective")
    ranked = select(tables.ranking, panel=numbers.panel["title"]).set_index("objective").to_dict("index")
    order = [*numbers.labels, *numbers.incomplete]
    rows = []
    for label in order:
        row = ranked.get(label, {})
        if label in numbers.incomplete:
            rows.append([numbers.names[label], *[DASH] * 10])
            continue
        aggregates = [percent(board.loc[label, name]) for name in ("normalised_mean", "interquartile_mean")]
        gain = points(row["gain"]) + brackets(row["gain_low"], row["gain_high"], points) if not pd.isna(row.get("gain")) else DASH
        best = f"{percent(row['best'])} at {int(row['best_iteration'])}"
        spread = [_statistic(name, row) for name in STATISTICS]
        chance = _probability(row["chance_best"]) if not pd.isna(row.get("chance_best")) else DASH
        last = with_interval(row["last"], row["last_low"], row["last_high"], row["last_item_stderr"])
        rows.append([numbers.names[label], last, *aggregates, gain, best, *spread, chance])
    caption = (
        f"Percent and points at the last iteration ({tables.last}){in_panel(numbers.panel)}. last: mean over the tasks, "
        f"{_interval_words(tables)}; norm.: chance 0, maximum 100; IQM: interquartile mean over tasks and seeds; on start: gain, "
        "paired over items and seeds; best: top of the mean curve, which is selected on these items and so flatters; drop: best "
        "minus last; fall: the largest from one iteration to the next; falls: iterations that lost; churn: share of items that "
        "flip between iterations; all four of each seed, then averaged, so that noise alone makes them larger than 0; chance: "
        "of the highest true mean, in %. Numbers: standing.csv, leaderboard.csv, stability.csv (each seed's)."
    )
    header = ["objective", "last", "norm.", "IQM", "on start", "best", "drop", "fall", "falls", "churn", "chance"]
    return table(header, rows, caption, grow="1" + "0" * 10, size=7.2)


def _interval_words(tables: Tables) -> str:
    return "± standard error over items" if tables.seeds < 3 else "95 % interval over items and seeds"


def _statistic(name: str, row: Mapping[Any, Any]) -> str:
    value = row.get(name, math.nan)
    if pd.isna(value):
        return DASH
    return f"{value:.1f}" if name == "falls" else percent(value)


def _probability(value: float) -> str:
    return "above 99" if value > 0.99 else "below 1" if value < 0.01 else f"{100 * value:.0f}"


def pairs_table(numbers: PanelNumbers) -> Block | None:
    """Row minus column at the last iteration, of up to MAX_SQUARE objectives."""
    labels, tables = numbers.labels, numbers.tables
    if len(labels) < 2 or len(labels) > MAX_SQUARE:
        return None
    others = [*labels[:-1], INITIAL]
    rows = []
    for i, a in enumerate(labels):
        pairs = [numbers.pair(a, b) if b == INITIAL or labels.index(b) < i else None for b in others]
        rows.append([numbers.names[a], *(_difference(pair) for pair in pairs)])
    over = select(tables.comparisons, panel=numbers.panel["title"])["over"].dropna()
    corrected = " (corrected over tasks; with McNemar's test where the interval is over items alone)"
    per_task = "" if tables.by_bootstrap else corrected
    caption = (
        f"Row minus column at iteration {tables.last}{in_panel(numbers.panel)}, in points of the mean over tasks, with 95 % "
        f"interval over {over.iloc[0] if len(over) else DASH}{', by bootstrap' if tables.by_bootstrap else ''} (none below five "
        "items a task), paired on the same items and seeds. ** p < 0.01, * p < 0.05 after Holm's correction over the panel's "
        f"pairs. Per task{per_task} and the probability of improvement: comparisons.csv." + _unpaired_note(tables)
    )
    return table(["", *(numbers.names[b] for b in others)], rows, caption, grow="0" + "1" * len(others), size=7)


def _difference(pair: Mapping[str, Any] | None) -> str:
    if pair is None:
        return ""
    return points(pair["difference"]) + stars(pair["p_holm"]) + brackets(pair["low"], pair["high"], points)


def _unpaired_note(tables: Tables) -> str:
    """A note on the rows that prevent a comparison of means, because they have no item scores; else empty."""
    unpaired = set(select(tables.comparisons, difference=None)["task"])
    names = [display_text(row["label"]) for row in tables.results.averaged_tasks if row["name"] in unpaired]
    return f" No mean is compared, because these rows have no item scores to pair: {', '.join(names)}." if names else ""
