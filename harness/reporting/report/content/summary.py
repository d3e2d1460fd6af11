"""The first page: which objective is best at which iteration, with what certainty, and whether it lasts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.analysis.stats import MIN_SEEDS_FOR_INTERVAL
from harness.records import INITIAL
from harness.reporting.figures.study.first import study_figure_caption, study_figure_name
from harness.reporting.report.blocks import Block, bullets, display_text, figure, section, table, text
from harness.reporting.report.content.beside import unaveraged_sentences
from harness.reporting.report.content.cautions import caution_sentences
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.earlier import provenance_sentences
from harness.reporting.tables.formatting import DASH, brackets, percent, points, with_interval

SIGNIFICANCE_LEVEL = 0.05
MAX_NEGLIGIBLE_LOSS = 0.01  # one point: a larger loss is worth a sentence


def summary_section(tables: Tables) -> Block:
    failed = tables.results.failed_trials.items()
    failures = [f"Failed, missing below: {display_text(trial)}: {display_text(error)}" for trial, error in failed]
    first_figure = study_figure_name(tables.results)
    question = tables.results.study.get("question")
    return section(
        "Summary",
        text(display_text(question)) if question else None,
        bullets(
            [
                *failures,
                *provenance_sentences(tables.results),
                *sentences(tables),
                *caution_sentences(tables),
                *unaveraged_sentences(tables),
            ]
        ),
        figure(first_figure, study_figure_caption(tables.results, display_text)) if first_figure else None,
        ranking_block(tables),
        page_break_after=True,
    )


def sentences(tables: Tables) -> list[str]:
    """The results in sentences. Incomplete objectives are listed and not compared."""
    if not tables.results.averaged_tasks:
        return ["No row of this suite enters a mean over tasks: every row is shown by itself."]
    initial_scores = tables.initial_scores()
    last_rows = tables.ranking.dropna(subset="last") if "last" in tables.ranking else tables.ranking.iloc[0:0]
    if last_rows.empty or pd.isna(initial_scores["mean"]):
        return ["No objective has been evaluated on every task at the last iteration, so nothing can be compared yet."]
    lines = []
    for panel in tables.panels:
        lines += _titled(panel, _panel_sentences(tables, panel, select(last_rows, panel=panel["title"])))
    if tables.seeds < MIN_SEEDS_FOR_INTERVAL:
        sure = (
            f"n = {tables.seeds} seed(s): no interval over seeds can be given. The errors shown come from sampling "
            "test items; they do not include the variation between seeds."
        )
    elif tables.by_bootstrap:
        sure = (
            f"Brackets of scores are 95 % intervals over items and {tables.seeds} seeds (Student's t, both variances added up), "
            "those of drops over seeds, on these items; for differences, p-values and the chance of being best see above."
        )
    else:
        sure = (
            f"Brackets of scores and of differences are 95 % intervals over items and {tables.seeds} seeds (Student's "
            "t, both variances added up), and so are p-values and the chance of being best; brackets of drops are over seeds, on "
            "these items."
        )
    few_items = (
        "With fewer than five items (or clusters of items) in a task no interval and no p-value is given for the task and "
        "for the mean it enters."
    )
    biased = (
        "A best iteration is selected on the items it is reported on, so it is biased upward for every objective; the last one "
        "is not."
    )
    return [*lines, f"How sure? {sure}", *([] if _enough_items(tables) else [few_items]), biased]


def headlines(tables: Tables) -> list[str]:
    """The first sentence on every panel, as it stands on page 1: which objective has the highest mean at the last iteration. The
    reason why there is none where nothing can be compared."""
    lines = []
    for panel in tables.panels if "last" in tables.ranking else ():
        panel_rows = select(tables.ranking.dropna(subset="last"), panel=panel["title"])
        if len(panel_rows) and not pd.isna(tables.initial_scores()["mean"]):
            lines += _titled(panel, [_leader_sentence(tables, panel, panel_rows, _leaders(panel_rows))])
    return lines or sentences(tables)[:1]


def _titled(panel: dict[str, Any], lines: list[str]) -> list[str]:
    where = f"{_capital(panel['title'])}: " if panel["title"] else ""
    return [where + line if where else _capital(line) for line in lines]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _scope(tables: Tables) -> str:
    """What an interval of below three seeds leaves out, as the end of a phrase."""
    return " over items alone" if tables.seeds < MIN_SEEDS_FOR_INTERVAL else ""


def _panel_sentences(tables: Tables, panel: dict[str, Any], panel_rows: Any) -> list[str]:
    incomplete = [label for label in panel["labels"] if label not in set(panel_rows["objective"])]
    lines = []
    if len(panel_rows):
        leaders = _leaders(panel_rows)
        leader = leaders.iloc[0]
        lines.append(_leader_sentence(tables, panel, panel_rows, leaders))
        lines += _runner_up_sentences(tables, panel, panel_rows, leader)
        lines += _retention_sentences(tables, panel_rows)
    if incomplete:
        lines.append(f"incomplete, not compared: {', '.join(incomplete)}.")
    return lines


def _leaders(panel_rows: Any) -> Any:
    top = panel_rows.loc[[panel_rows["last"].idxmax()]]
    return panel_rows[panel_rows["leader"].astype(bool)] if panel_rows["leader"].any() else top


def _leader_sentence(tables: Tables, panel: dict[str, Any], panel_rows: Any, leaders: Any) -> str:
    leader = leaders.iloc[0]
    gain = tables.pair(panel["title"], leader["objective"], INITIAL)
    names = " and ".join(leaders["objective"])
    sentence = f"at the last iteration ({tables.last}) the highest mean is {names}'s, {_percent(leader, 'last')} %"
    if gain is not None:
        sentence += f", {format_points(gain)} against the initial policy's {percent(tables.initial_scores()['mean'])} %"
    if not pd.isna(leader.get("chance_best")):
        possessive = "its" if len(leaders) == 1 else f"{leader['objective']}'s"
        probability = _format_probability(leader["chance_best"])
        sentence += f"; {possessive} chance of being the best of {len(panel_rows)} is {probability}{_scope(tables)}"
    return sentence + "."


def _runner_up_sentences(tables: Tables, panel: dict[str, Any], panel_rows: Any, leader: Any) -> list[str]:
    not_distinguishable, behind = [], []
    for row in select(panel_rows, leader=False).to_dict("records"):
        pair = tables.pair(panel["title"], leader["objective"], row["objective"])
        if row["objective"] != leader["objective"] and pair is not None and not pd.isna(pair["p_holm"]):
            sentences_of = behind if pair["p_holm"] < SIGNIFICANCE_LEVEL else not_distinguishable
            sentences_of.append(f"{row['objective']} by {format_difference(pair)}")
    lines, scope = [], f"{_scope(tables)}, ".lstrip() if _scope(tables) else ""
    if behind:
        lines.append(f"it is ahead of {'; '.join(behind)} ({scope}p < 0.05 after Holm's correction).")
    if not_distinguishable:
        lines.append(
            "its difference to the following is not significant after correction for all pairs (Holm, p ≥ 0.05); its lead and "
            f"the lead's own interval: {'; '.join(not_distinguishable)}."
        )
    return lines


def _enough_items(tables: Tables) -> bool:
    """Whether the differences of means have p-values, which they lack where one of the tasks has few items."""
    compared = select(tables.comparisons, task=MEAN_TASK).dropna(subset="difference")
    return bool(compared.empty or compared["p"].notna().any())


def _retention_sentences(tables: Tables, panel_rows: Any) -> list[str]:
    """The last iteration against the objective's best earlier one: declined, retained to within a point, or unclear.

    Declined where the whole interval is below 0, retained where none of it is below one point lost. The interval is valid for
    all earlier iterations at once, from which the best was selected. A best iteration that is the last one has lost nothing.
    """
    if "since_best_low" not in panel_rows:
        return []
    declined, retained, unclear = [], [], []
    for row in panel_rows.dropna(subset="since_best_low").to_dict("records"):
        low, high = row["since_best_low"], row["since_best_high"]
        kind = declined if high < 0 else retained if low > -MAX_NEGLIGIBLE_LOSS else unclear
        kind.append(f"{row['objective']} {points(row['since_best'])}{brackets(low, high, points)}")
    lines, scope = [], _scope(tables)
    if declined:
        lines.append(f"lower at the last iteration than at its best one (95 % interval{scope} below 0): {'; '.join(declined)}.")
    if retained:
        lines.append(f"at most a point below its best iteration at the last one (95 % interval{scope}): {'; '.join(retained)}.")
    if unclear:
        lines.append(f"not known whether it lost anything since its best iteration: {'; '.join(unclear)}.")
    return lines


def format_difference(pair: dict[str, Any]) -> str:
    return points(pair["difference"]) + brackets(pair["low"], pair["high"], points)


def format_points(pair: dict[str, Any]) -> str:
    return f"{format_difference(pair)} points"


def _percent(row: Any, name: str) -> str:
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_item_stderr"])


def _format_probability(value: float) -> str:
    return "above 99 %" if value > 0.99 else "below 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def ranking_block(tables: Tables) -> Block | None:
    """Final, best and drop with intervals and marks, one row per objective."""
    has_several_panels = len(tables.panels) > 1
    rows = []
    for row in tables.ranking.to_dict("records"):
        cells = [*([row["panel"]] if has_several_panels else []), row["objective"]]
        if pd.isna(row.get("last")):
            rows.append([*cells, *[DASH] * 8])
            continue
        cells += [_percent(row, "best"), str(int(row["best_iteration"])), _percent(row, "last") + _rank_mark(row)]
        has_gain, has_falls, has_chance = (not pd.isna(row.get(name)) for name in ("gain", "falls", "chance_best"))
        cells.append(points(row["gain"]) + brackets(row["gain_low"], row["gain_high"], points) if has_gain else DASH)
        drop = (row.get(name, math.nan) for name in ("drop", "drop_low", "drop_high"))
        cells += [with_interval(*drop), f"{row['falls']:.1f}" if has_falls else DASH, percent(row.get("churn", math.nan))]
        rows.append([*cells, _format_probability(row["chance_best"]).replace(" %", "") if has_chance else DASH])
    header = ["objective", "best", "at", "last", "gain on initial", "drop", "falls", "churn", "chance best"]
    caption = (
        "Percent and points. best, at: top of the mean curve, its interval corrected for the choice; last: the last iteration, ▲ "
        "leads, ▽ behind the leader (p < 0.05, Holm), = not significantly; gain: paired over items and seeds; drop, falls, "
        "churn: per seed, then averaged (best minus last; iterations that lost; share of items that flip between iterations); "
        "chance best: of having the highest true mean at the last iteration. Numbers: standing.csv, stability.csv, "
        "comparisons.csv."
    )
    if has_several_panels:
        return table(["panel", *header], rows, caption, "ll" + "r" * 8, "000000000" + "0", 6.6)
    return table(header, rows, caption, grow="0" * 9, size=7.4)


def _rank_mark(row: dict[str, Any]) -> str:
    if row["leader"]:
        return " ▲"
    p = row["behind_leader_p_holm"]
    return "" if pd.isna(p) else " ▽" if p < SIGNIFICANCE_LEVEL else " ="
