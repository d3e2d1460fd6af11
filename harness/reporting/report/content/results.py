"""Scores and their uncertainty: the leaderboard, one curve per task, pairwise comparisons, stability, collapse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.records import INITIAL
from harness.reporting.figures.scores import MAX_VARIANTS_WITH_ERRORS
from harness.reporting.report.blocks import Block, display_text, in_panel, section, table, text
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import DASH, brackets, footnote, leaderboard_rows, points, with_interval

MAX_FINDINGS = 60
STATISTICS = {"drop": "drop", "largest_fall": "largest fall", "falls": "falls", "area_lost": "area lost", "churn": "churn"}


def scores_section(tables: Tables) -> Block:
    header, rows = leaderboard_rows(tables.results, tables.leaderboard)
    labels = {*(label for panel in tables.panels for label in panel["labels"]), INITIAL}
    rows = [row for row in rows if row[0] in labels]
    num_averaged, num_unaveraged = len(tables.results.averaged_tasks), len(tables.results.unaveraged_tasks)
    grow = "00" + "1" * num_averaged + "000" + "1" * num_unaveraged
    blocks = [table(header, rows, footnote(tables.results), "ll" + "r" * (len(header) - 2), grow, 6.6)]
    for number, panel in enumerate(tables.panels, 1):
        errors = _task_errors_note(tables, panel)
        note = f"(start: initial policy; dotted: chance; means over seeds{errors}). Numbers: leaderboard.csv."
        caption = f"Each task against iteration{in_panel(panel)} {note}"
        blocks.append(tables.figure("tasks", number, caption))
    return section("Scores", *blocks)


def _task_errors_note(tables: Tables, panel: dict[str, Any]) -> str:
    """What the errors of the tasks' curves are, where they are drawn."""
    if len(panel["labels"]) > MAX_VARIANTS_WITH_ERRORS:
        return ""
    if tables.seeds >= MIN_SEEDS_FOR_INTERVAL:
        return "; bands: 95 % intervals over seeds, on these items"
    return "; bars: standard error of sampling items, of one seed"


def comparisons_section(tables: Tables) -> Block:
    """For every panel a square: row minus column at the last iteration."""
    blocks = []
    for panel in tables.panels:
        labels = panel["labels"]
        others = [*(labels[:-1] if len(labels) > 1 else []), INITIAL]
        rows = []
        for a in labels:
            pairs = [tables.pair(panel["title"], a, b) for b in others]
            empty = ["" if a == b else DASH for b in others]
            rows.append([a, *(_format_difference(pair) if pair else dash for pair, dash in zip(pairs, empty, strict=True))])
        over = select(tables.comparisons, panel=panel["title"])["over"].dropna()
        corrected = " (corrected over tasks; with McNemar's test where the interval is over items alone)"
        per_task = "" if tables.by_bootstrap else corrected
        caption = (
            f"Row minus column at iteration {tables.last}{in_panel(panel)}, in points of the mean over tasks, with 95 % interval "
            f"over {over.iloc[0] if len(over) else DASH}{', by bootstrap' if tables.by_bootstrap else ''} (none below five items "
            "a task), paired on the same items and seeds. ** p < 0.01, * p < 0.05 after Holm's correction over the panel's "
            f"pairs. Per task{per_task} and the probability of improvement: comparisons.csv." + _unpaired_note(tables)
        )
        blocks.append(table(["", *others], rows, caption, size=7.4 if len(others) < 7 else 6.4))
    return section("Pairwise comparisons", *blocks)


def _unpaired_note(tables: Tables) -> str:
    """A note on the rows that prevent a comparison of means, because they have no item scores; else empty."""
    comparisons = tables.comparisons
    unpaired = set(select(comparisons, difference=None)["task"])
    names = [display_text(row["label"]) for row in tables.results.averaged_tasks if row["name"] in unpaired]
    return f" No mean is compared, because these rows have no item scores to pair: {', '.join(names)}." if names else ""


def _format_difference(pair: dict) -> str:
    stars = "" if pd.isna(pair["p_holm"]) else "**" if pair["p_holm"] < 0.01 else "*" if pair["p_holm"] < 0.05 else ""
    return points(pair["difference"]) + stars + brackets(pair["low"], pair["high"], points)


def stability_section(tables: Tables) -> Block:
    rows = []
    for label in tables.results.variants:
        numbers = select(tables.stability, objective=label)
        over_seeds = select(numbers, seed=None).set_index("name").to_dict("index")
        if not over_seeds:
            rows.append([label, *[DASH] * (len(STATISTICS) + 2)])
            continue
        per_seed = select(numbers, name="best_iteration").dropna(subset="seed")["value"]
        cells = [_format_statistic(name, over_seeds[name]) if name in over_seeds else DASH for name in STATISTICS]
        rows.append([label, " ".join(str(int(v)) for v in per_seed), *cells, str(int(over_seeds["best"]["seeds"]))])
    caption = (
        "Per seed, then averaged over the seeds that finished every iteration; brackets: 95 % interval over seeds on these "
        "items (t; none below three seeds, or where all seeds agree). drop: best minus last; largest fall: from one iteration to "
        "the next; falls: iterations that lost; area lost: running best minus value, mean over iterations; churn: share of items "
        "whose correctness flips from one iteration to the next. Noise alone makes these larger than 0, so they do not prove "
        "a loss. Points and percent. Numbers, also of each seed: stability.csv."
    )
    header = ["objective", "best at (each seed)", *STATISTICS.values(), "seeds"]
    return section("Stability", table(header, rows, caption, grow="0" * 8, size=7.6))


def _format_statistic(name: str, number: Mapping[Any, Any]) -> str:
    if name == "falls":  # a number of iterations
        return f"{number['value']:.1f}" + brackets(number["low"], number["high"], "{:.1f}".format)
    return with_interval(number["value"], number["low"], number["high"])


def collapse_section(tables: Tables) -> Block:
    """The findings of the collapse detector; a sentence where there are none."""
    findings = tables.read("tables/collapse.csv")
    if findings.empty:
        nothing = "The collapse detector found nothing in any checkpoint. Its rules: harness/analysis/collapse.py."
        return section("Collapse", text(nothing))
    findings = select(findings, objective=tables.results.variants)
    counts = sorted([*key, str(count)] for key, count in findings.groupby(["finding", "objective"]).size().items())
    shown = findings.head(MAX_FINDINGS).to_dict("records")
    rows = [[r["objective"], str(int(r["seed"])), str(r["iteration"]), r["finding"], display_text(r["evidence"])] for r in shown]
    truncation_note = f" The first {MAX_FINDINGS} of {len(findings)}." if len(findings) > MAX_FINDINGS else ""
    counts_caption = "Checkpoints (one per seed and iteration) with a finding."
    caption = (
        f"Every finding with its evidence.{truncation_note} Bounds and source of the evidence: collapse.csv; rules: "
        "harness/analysis/collapse.py."
    )
    counted = table(["finding", "objective", "checkpoints"], counts, counts_caption, "llr", "000")
    listed = table(["objective", "seed", "iter", "finding", "evidence"], rows, caption, "lrrll", "00001", 7)
    return section("Collapse", counted, listed)
