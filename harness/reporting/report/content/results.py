"""Scores and their uncertainty: the leaderboard, one curve per task, pairwise comparisons, stability, collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.records import INITIAL
from harness.reporting.report.blocks import Block, display_text, figure, section, table, text
from harness.reporting.report.content.beside import unaveraged_section
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import DASH, footnote, leaderboard_rows, with_interval

MAX_FINDINGS = 60
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
        unaveraged_section(tables),
        collapse_section(tables),
    ]


def scores_section(tables: Tables) -> Block:
    header, rows = leaderboard_rows(tables.results, tables.leaderboard)
    labels = {*(label for panel in tables.panels for label in panel["labels"]), INITIAL}
    rows = [row for row in rows if row[0] in labels]
    num_columns, num_averaged, num_unaveraged = (
        len(header),
        len(tables.results.averaged_tasks),
        len(tables.results.unaveraged_tasks),
    )
    grow = "00" + "1" * num_averaged + "000" + "1" * num_unaveraged
    blocks = [table(header, rows, footnote(tables.results), "ll" + "r" * (num_columns - 2), grow, 6.6)]
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
                cells.append(DASH if a != b and pair is None else "" if pair is None else _format_difference(pair))
            rows.append(cells)
        over = tables.comparisons.loc[tables.comparisons["panel"] == panel["title"], "over"].dropna()
        per_task = (
            "" if tables.by_bootstrap else " (corrected over tasks; with McNemar's test where the interval is over items alone)"
        )
        caption = (
            f"Row minus column at iteration {tables.last}{', ' + panel['title'] if panel['title'] else ''}, in points of the "
            f"mean over tasks, with 95 % interval over {over.iloc[0] if len(over) else DASH}"
            f"{', by bootstrap' if tables.by_bootstrap else ''} (none below five items a task), "
            "paired on the same items and seeds. ** p < 0.01, * p < 0.05 after Holm's correction over the panel's pairs. Per "
            f"task{per_task} and the probability of improvement: comparisons.csv." + _unpaired_note(tables)
        )
        columns = [*(labels[:-1] if len(labels) > 1 else []), "initial"]
        blocks.append(table(["", *columns], rows, caption, size=7.4 if len(columns) < 7 else 6.4))
    return section("Pairwise comparisons", *blocks)


def _unpaired_note(tables: Tables) -> str:
    """A note on the rows that prevent a comparison of means, because they have no item scores; else empty."""
    comparisons = tables.comparisons
    unpaired = set(comparisons.loc[comparisons["difference"].isna(), "task"])
    names = [display_text(row["label"]) for row in tables.results.averaged_tasks if row["name"] in unpaired]
    return f" No mean is compared, because these rows have no item scores to pair: {', '.join(names)}." if names else ""


def _format_difference(pair: dict) -> str:
    stars = "" if pd.isna(pair["p_holm"]) else "**" if pair["p_holm"] < 0.01 else "*" if pair["p_holm"] < 0.05 else ""
    bounds = "" if pd.isna(pair["low"]) else f" [{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"
    return f"{100 * pair['difference']:+.1f}{stars}{bounds}"


def stability_section(tables: Tables) -> Block:
    over_seeds = tables.stability[tables.stability["seed"].isna()]
    rows = []
    for label in tables.results.variants:
        label_rows = over_seeds[over_seeds["objective"] == label].set_index("name")
        if label_rows.empty:
            rows.append([label, *[DASH] * (len(STATISTICS) + 2)])
            continue
        best_rows = tables.stability[(tables.stability["objective"] == label) & (tables.stability["name"] == "best_iteration")]
        best_iterations = " ".join(str(int(v)) for v in best_rows[best_rows["seed"].notna()]["value"])
        cells = [label, best_iterations]
        for name, _ in STATISTICS:
            if name not in label_rows.index:
                cells.append(DASH)
                continue
            statistic = label_rows.loc[name].to_dict()
            cells.append(
                _format_falls(statistic)
                if name == "falls"
                else with_interval(statistic["value"], statistic["low"], statistic["high"])
            )
        rows.append([*cells, str(int(label_rows["seeds"].iloc[0]))])
    caption = (
        "Per seed, then averaged over the seeds that finished every iteration; brackets: 95 % interval over seeds on these "
        "items (t; none below three seeds, or where all seeds agree). drop: best minus last; largest fall: from one iteration to "
        "the next; falls: iterations that lost; area lost: running best minus value, mean over iterations; churn: share of items "
        "whose correctness flips from one iteration to the next. Noise alone makes these larger than 0, so they do not prove "
        "a loss. Points and percent. Numbers, also of each seed: stability.csv."
    )
    header = ["objective", "best at (each seed)", *(title for _, title in STATISTICS), "seeds"]
    return section("Stability", table(header, rows, caption, grow="0" * 8, size=7.6))


def _format_falls(statistic: Mapping[Any, Any]) -> str:
    brackets = "" if pd.isna(statistic["low"]) else f" [{statistic['low']:.1f}, {statistic['high']:.1f}]"
    return f"{statistic['value']:.1f}{brackets}"


def collapse_section(tables: Tables) -> Block:
    """The findings of the collapse detector; a sentence where there are none."""
    findings = tables.collapse
    if findings.empty:
        return section(
            "Collapse", text("The collapse detector found nothing in any checkpoint. Its rules: harness/analysis/collapse.py.")
        )
    findings = findings[findings["objective"].isin(tables.results.variants)]
    counts = findings.groupby(["finding", "objective"], sort=False).size()
    count_rows = [[name, objective, str(count)] for (name, objective), count in counts.items()]
    count_rows.sort()
    rows = [
        [r["objective"], str(int(r["seed"])), str(r["iteration"]), r["finding"], display_text(r["evidence"])]
        for r in findings.head(MAX_FINDINGS).to_dict("records")
    ]
    truncation_note = f" The first {MAX_FINDINGS} of {len(findings)}." if len(findings) > MAX_FINDINGS else ""
    return section(
        "Collapse",
        table(
            ["finding", "objective", "checkpoints"],
            count_rows,
            "Checkpoints (one per seed and iteration) with a finding.",
            "llr",
            "000",
        ),
        table(
            ["objective", "seed", "iter", "finding", "evidence"],
            rows,
            f"Every finding with its evidence.{truncation_note} Bounds and source of the evidence: collapse.csv; rules: "
            "harness/analysis/collapse.py.",
            "lrrll",
            "00001",
            7,
        ),
    )
