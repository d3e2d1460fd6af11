"""The first page: which objective, at which iteration, is how sure to be best, and does it last."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.report.blocks import Block, bullets, figure, section, table, text, visible
from harness.report.content.beside import beside_sentences
from harness.report.content.tables import Tables
from harness.stats import SEEDS_FOR_INTERVAL
from harness.tables.earlier import kept_sentences
from harness.tables.printed import MISSING, items_note, percent, with_interval

SURE = 0.05
LASTING = 0.01  # a drop that is worth a sentence


def summary_section(tables: Tables) -> Block:
    failed = [f"Failed, shown as a hole below: {visible(cell)}: {visible(error)}" for cell, error in tables.facts.failed.items()]
    caption = (
        f"Mean over the tasks against iteration; dashed: the initial policy. {items_note(tables.facts)}. Numbers: "
        "leaderboard.csv, their origin: scores.csv."
    )
    asked = tables.facts.study.get("question")
    return section(
        "Summary",
        text(visible(asked)) if asked else None,
        bullets([*failed, *kept_sentences(tables.facts), *sentences(tables), *beside_sentences(tables)]),
        figure("stability_curves", caption) if tables.facts.counted else None,
        standing_block(tables),
        alone=True,
    )


def sentences(tables: Tables) -> list[str]:
    """Answers in words. Nothing is said of objectives with a hole but that there is one."""
    if not tables.facts.counted:
        return ["No row of this suite enters a mean over tasks: every row is shown by itself."]
    start = tables.initial()
    ends = tables.standing[tables.standing["last"].notna()] if "last" in tables.standing else tables.standing.iloc[0:0]
    if ends.empty or pd.isna(start["mean"]):
        return ["No objective has been evaluated on every task at the last iteration, so nothing can be said yet."]
    said = []
    for panel in tables.panels:
        mine = ends[ends["panel"] == panel["title"]]
        where = f"{_capital(panel['title'])}: " if panel["title"] else ""
        said += [where + one if where else _capital(one) for one in _of_panel(tables, panel, mine)]
    if tables.seeds < SEEDS_FOR_INTERVAL:
        said.append(
            f"How sure? n = {tables.seeds} seed(s): no interval over seeds can be given. The errors shown come from sampling "
            "test items; they say nothing about how another seed would have trained."
        )
    else:
        said.append(
            f"How sure? Brackets are 95 % bootstrap intervals over {tables.seeds} seeds; p-values and the chance of being best "
            "redraw items and seeds together. Few seeds make bootstrap intervals too narrow rather than too wide."
        )
    said.append(
        "A best iteration is found on the items it is reported on, so it flatters every objective; the last one does not."
    )
    return said


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _of_panel(tables: Tables, panel: dict[str, Any], mine: Any) -> list[str]:
    holes = [label for label in panel["labels"] if label not in set(mine["objective"])]
    said = []
    if len(mine):
        top = mine.loc[mine["last"].idxmax()]
        gain = tables.pair(panel["title"], top["objective"], "initial")
        first = f"at the last iteration ({tables.last}) the highest mean is {top['objective']}'s, {_percent(top, 'last')} %"
        if gain is not None:
            first += f", {points(gain)} against the initial policy's {percent(tables.initial()['mean'])} %"
        if not pd.isna(top.get("chance_best")):
            first += f"; its chance of being the best of {len(mine)} is {_chance(top['chance_best'])}"
            first += " if only the items were drawn anew" if tables.seeds == 1 else ""
        said.append(first + ".")
        said += _runner_up(tables, panel, mine, top)
        said += _lasting(tables, mine)
    if holes:
        said.append(f"holes, about which nothing is said: {', '.join(holes)}.")
    return said


def _runner_up(tables: Tables, panel: dict[str, Any], mine: Any, top: Any) -> list[str]:
    level, behind = [], []
    for row in mine[mine["objective"] != top["objective"]].to_dict("records"):
        pair = tables.pair(panel["title"], top["objective"], row["objective"])
        if pair is None:
            continue
        (behind if pair["p_holm"] < SURE else level).append(f"{row['objective']} by {lead(pair)}")
    said, over = [], "over items alone, " if tables.seeds == 1 else ""
    if behind:
        said.append(f"it is ahead of {'; '.join(behind)} ({over}p < 0.05 after Holm's correction).")
    if level:
        said.append(
            "it cannot be told apart, once all pairs are corrected for (Holm, p ≥ 0.05), from the following; its lead and the "
            f"lead's own interval: {'; '.join(level)}."
        )
    return said


def _lasting(tables: Tables, mine: Any) -> list[str]:
    """Who lost at least a point between a seed's best iteration and the last, for certain."""
    if tables.last == 0 or "drop" not in mine:
        return []
    lost = []
    for row in mine[mine["drop"].notna()].to_dict("records"):
        certain = row["drop_low"] > 0 if not pd.isna(row["drop_low"]) else row["drop"] > 2 * row["last_item_stderr"]
        if certain and row["drop"] >= LASTING:
            lost.append(f"{row['objective']} {with_interval(row['drop'], row['drop_low'], row['drop_high'])}")
    if not lost:
        return ["no objective certainly lost a point or more from a seed's best iteration to its last."]
    return [f"certainly lost a point or more from a seed's best iteration to its last: {'; '.join(lost)}."]


def lead(pair: dict[str, Any]) -> str:
    return f"{100 * pair['difference']:+.1f} [{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"


def points(pair: dict[str, Any]) -> str:
    return f"{lead(pair)} points"


def _percent(row: Any, name: str) -> str:
    return with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], row[f"{name}_item_stderr"])


def _chance(value: float) -> str:
    return "above 99 %" if value > 0.99 else "below 1 %" if value < 0.01 else f"{100 * value:.0f} %"


def standing_block(tables: Tables) -> Block | None:
    """Final, best and drop with intervals and marks, one row per objective."""
    several = len(tables.panels) > 1
    rows = []
    for row in tables.standing.to_dict("records"):
        cells = [row["panel"]] if several else []
        cells.append(row["objective"])
        if pd.isna(row.get("last")):
            rows.append([*cells, *[MISSING] * 8])
            continue
        gain = row.get("gain")
        rows.append(
            [
                *cells,
                _percent(row, "best"),
                str(int(row["best_iteration"])),
                _percent(row, "last") + _mark(row),
                MISSING if pd.isna(gain) else f"{100 * gain:+.1f} [{100 * row['gain_low']:+.1f}, {100 * row['gain_high']:+.1f}]",
                with_interval(row.get("drop", float("nan")), row.get("drop_low"), row.get("drop_high")),  # type: ignore[arg-type]
                MISSING if pd.isna(row.get("falls")) else f"{row['falls']:.1f}",
                percent(row.get("churn", float("nan"))),
                MISSING if pd.isna(row.get("chance_best")) else _chance(row["chance_best"]).replace(" %", ""),
            ]
        )
    header = ["objective", "best", "at", "last", "gain on initial", "drop", "falls", "churn", "chance best"]
    caption = (
        "Percent and points. best, at: top of the mean curve; last: the last iteration, ▲ leads, ▽ behind the leader (p < 0.05, "
        "Holm), = not told apart from it; gain: paired over items and seeds; drop, falls, churn: per seed, then averaged (best "
        "minus last; iterations that lost; share of items that flip between iterations); chance best: share of redraws. Numbers: "
        "standing.csv, stability.csv, comparisons.csv."
    )
    if several:
        return table(["panel", *header], rows, caption, "ll" + "r" * 8, "000000000" + "0", 6.6)
    return table(header, rows, caption, grow="0" * 9, size=7.4)


def _mark(row: dict[str, Any]) -> str:
    if row["leader"]:
        return " ▲"
    p = row["behind_leader_p_holm"]
    return "" if pd.isna(p) else " ▽" if p < SURE else " ="
