"""Scores and what they are worth: the leaderboard, one curve per task, pairwise comparisons, stability, collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.records import INITIAL
from harness.reporting.report.blocks import Block, figure, section, table, text, visible
from harness.reporting.report.content.beside import beside_section
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.printed import MISSING, footnote, printed_rows, with_interval

SHOWN_FINDINGS = 60
STATISTICS = (
    ("drop", "drop"),
    ("largest_fall", "largest fall"),
    ("falls", "falls"),
    ("area_lost", "area lost"),
    ("churn", "churn"),
)


def results_sections(tables: Tables) -> list[Block | None]:
    return [
        scores_section(tables),
        comparisons_section(tables),
        stability_section(tables),
        beside_section(tables),
        collapse_section(tables),
    ]


def scores_section(tables: Tables) -> Block:
    header, rows = printed_rows(tables.facts, tables.board)
    labels = {*(label for panel in tables.panels for label in panel["labels"]), INITIAL}
    rows = [row for row in rows if row[0] in labels]
    n, counted, beside = len(header), len(tables.facts.counted), len(tables.facts.beside)
    grow = "00" + "1" * counted + "000" + "1" * beside
    blocks = [table(header, rows, footnote(tables.facts), "ll" + "r" * (n - 2), grow, 6.6)]
    for number, panel in enumerate(tables.panels, 1):
        name = "tasks" if number == 1 else f"tasks-{number}"
        where = f", {panel['title']}" if panel["title"] else ""
        caption = (
            f"Each task against iteration{where} (i: initial policy; dotted: chance; means over seeds). Numbers: leaderboard.csv."
        )
        blocks.append(figure(name, caption) if tables.has_figure(name) else None)
    return section("Scores", *blocks)


def comparisons_section(tables: Tables) -> Block:
    """For every panel a square: row minus column at the last iteration."""
    blocks = []
    for panel in tables.panels:
        labels = panel["labels"]
        rows = []
        for a in labels:
            cells = [a]
            for b in (*labels[:-1], INITIAL) if len(labels) > 1 else (INITIAL,):
                pair = tables.pair(panel["title"], a, b) if a != b else None
                cells.append(MISSING if a != b and pair is None else "" if pair is None else _cell(pair))
            rows.append(cells)
        over = tables.comparisons.loc[tables.comparisons["panel"] == panel["title"], "over"].dropna()
        per_task = (
            "" if tables.by_bootstrap else " (corrected over tasks; with McNemar's test where the interval is over items alone)"
        )
        caption = (
            f"Row minus column at iteration {tables.last}{', ' + panel['title'] if panel['title'] else ''}, in points of the "
            f"mean over tasks, with 95 % interval over {over.iloc[0] if len(over) else MISSING}"
            f"{', by bootstrap' if tables.by_bootstrap else ''} (none below five items a task), "
            "paired on the same items and seeds. ** p < 0.01, * p < 0.05 after Holm's correction over the panel's pairs. Per "
            f"task{per_task} and the probability of improvement: comparisons.csv." + _unpaired(tables)
        )
        columns = [*(labels[:-1] if len(labels) > 1 else []), "initial"]
        blocks.append(table(["", *columns], rows, caption, size=7.4 if len(columns) < 7 else 6.4))
    return section("Who is ahead of whom", *blocks)


def _unpaired(tables: Tables) -> str:
    """Why there is nothing to compare in the mean, where one of its rows has no items."""
    table = tables.comparisons
    loose = set(table.loc[table["difference"].isna(), "task"])
    names = [visible(row["label"]) for row in tables.facts.counted if row["name"] in loose]
    return f" No mean is compared, for these are not made of items that could be paired: {', '.join(names)}." if names else ""


def _cell(pair: dict) -> str:
    stars = "" if pd.isna(pair["p_holm"]) else "**" if pair["p_holm"] < 0.01 else "*" if pair["p_holm"] < 0.05 else ""
    bounds = "" if pd.isna(pair["low"]) else f" [{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"
    return f"{100 * pair['difference']:+.1f}{stars}{bounds}"


def stability_section(tables: Tables) -> Block:
    whole = tables.stability[tables.stability["seed"].isna()]
    rows = []
    for label in tables.facts.variants:
        mine = whole[whole["objective"] == label].set_index("name")
        if mine.empty:
            rows.append([label, *[MISSING] * (len(STATISTICS) + 2)])
            continue
        times = tables.stability[(tables.stability["objective"] == label) & (tables.stability["name"] == "best_iteration")]
        at = " ".join(str(int(v)) for v in times[times["seed"].notna()]["value"])
        cells = [label, at]
        for name, _ in STATISTICS:
            if name not in mine.index:
                cells.append(MISSING)
                continue
            one = mine.loc[name].to_dict()
            cells.append(_plain(one) if name == "falls" else with_interval(one["value"], one["low"], one["high"]))
        rows.append([*cells, str(int(mine["seeds"].iloc[0]))])
    caption = (
        "Per seed, then averaged over the seeds that finished every iteration; brackets: 95 % interval over seeds on these "
        "items (t; none below three seeds, or where all seeds agree). drop: best minus last; largest fall: from one iteration to "
        "the next; falls: iterations that lost; area lost: running best minus value, mean over iterations; churn: share of items "
        "whose correctness flips from one iteration to the next. Every noise makes these larger than 0, so they are no proof "
        "of a loss. Points and percent. Numbers, each seed's too: stability.csv."
    )
    header = ["objective", "best at (each seed)", *(title for _, title in STATISTICS), "seeds"]
    return section("Stability", table(header, rows, caption, grow="0" * 8, size=7.6))


def _plain(one: Mapping[Any, Any]) -> str:
    brackets = "" if pd.isna(one["low"]) else f" [{one['low']:.1f}, {one['high']:.1f}]"
    return f"{one['value']:.1f}{brackets}"


def collapse_section(tables: Tables) -> Block:
    """What the detector found; a sentence where it found nothing."""
    found = tables.collapse
    if found.empty:
        return section(
            "Collapse", text("The collapse detector found nothing in any player. Its rules: harness/analysis/collapse.py.")
        )
    found = found[found["objective"].isin(tables.facts.variants)]
    counts = found.groupby(["finding", "objective"], sort=False).size()
    summed = [[name, objective, str(count)] for (name, objective), count in counts.items()]
    summed.sort()
    rows = [
        [r["objective"], str(int(r["seed"])), str(r["iteration"]), r["finding"], visible(r["evidence"])]
        for r in found.head(SHOWN_FINDINGS).to_dict("records")
    ]
    rest = f" The first {SHOWN_FINDINGS} of {len(found)}." if len(found) > SHOWN_FINDINGS else ""
    return section(
        "Collapse",
        table(["finding", "objective", "players"], summed, "Players (one per seed and iteration) with a finding.", "llr", "000"),
        table(
            ["objective", "seed", "iter", "finding", "evidence"],
            rows,
            f"Every finding with its evidence.{rest} Bounds and where the evidence lies: collapse.csv; rules: "
            "harness/analysis/collapse.py.",
            "lrrll",
            "00001",
            7,
        ),
    )
