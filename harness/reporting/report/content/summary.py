"""The first page: which objective, at which iteration, is how sure to be best, and does it last."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.stats import SEEDS_FOR_INTERVAL
from harness.reporting.report.blocks import Block, bullets, figure, section, table, text, visible
from harness.reporting.report.content.beside import beside_sentences
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.comparisons import MEAN
from harness.reporting.tables.earlier import kept_sentences
from harness.reporting.tables.printed import MISSING, items_note, percent, with_interval

SURE = 0.05
LASTING = 0.01  # one point: a loss that is worth a sentence


def summary_section(tables: Tables) -> Block:
    failed = [f"Failed, shown as a hole below: {visible(cell)}: {visible(error)}" for cell, error in tables.facts.failed.items()]
    caption = (
        f"Mean over the tasks against iteration; dashed: the initial policy. {items_note(tables.facts, visible)}. Numbers: "
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
    elif tables.by_bootstrap:
        said.append(
            f"How sure? Brackets of scores are 95 % intervals over items and {tables.seeds} seeds (Student's t, both variances "
            "added up), those of drops over seeds, on these items; differences, p-values and the chance of being best are as "
            "said above."
        )
    else:
        said.append(
            f"How sure? Brackets of scores and of differences are 95 % intervals over items and {tables.seeds} seeds (Student's "
            "t, both variances added up), and so are p-values and the chance of being best; brackets of drops are over seeds, on "
            "these items."
        )
    if not _enough_items(tables):
        said.append(
            "With fewer than five items (or clusters of items) in a task no interval and no p-value is given, of the task and "
            "of the mean it enters."
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
        ahead = mine[mine["leader"].astype(bool)] if mine["leader"].any() else mine.loc[[mine["last"].idxmax()]]
        top = ahead.iloc[0]
        gain = tables.pair(panel["title"], top["objective"], "initial")
        names = " and ".join(ahead["objective"])
        first = f"at the last iteration ({tables.last}) the highest mean is {names}'s, {_percent(top, 'last')} %"
        if gain is not None:
            first += f", {points(gain)} against the initial policy's {percent(tables.initial()['mean'])} %"
        if not pd.isna(top.get("chance_best")):
            whose = "its" if len(ahead) == 1 else f"{top['objective']}'s"
            first += f"; {whose} chance of being the best of {len(mine)} is {_chance(top['chance_best'])}"
            first += " if only the items were drawn anew" if tables.seeds < SEEDS_FOR_INTERVAL else ""
        said.append(first + ".")
        said += _runner_up(tables, panel, mine, top)
        said += _lasting(tables, mine)
    if holes:
        said.append(f"holes, about which nothing is said: {', '.join(holes)}.")
    return said


def _runner_up(tables: Tables, panel: dict[str, Any], mine: Any, top: Any) -> list[str]:
    level, behind = [], []
    for row in mine[(mine["objective"] != top["objective"]) & ~mine["leader"].astype(bool)].to_dict("records"):
        pair = tables.pair(panel["title"], top["objective"], row["objective"])
        if pair is None or pd.isna(pair["p_holm"]):
            continue
        (behind if pair["p_holm"] < SURE else level).append(f"{row['objective']} by {lead(pair)}")
    said, over = [], "over items alone, " if tables.seeds < SEEDS_FOR_INTERVAL else ""
    if behind:
        said.append(f"it is ahead of {'; '.join(behind)} ({over}p < 0.05 after Holm's correction).")
    if level:
        said.append(
            "it cannot be told apart, once all pairs are corrected for (Holm, p ≥ 0.05), from the following; its lead and the "
            f"lead's own interval: {'; '.join(level)}."
        )
    return said


def _enough_items(tables: Tables) -> bool:
    """Whether a p could be given for the differences of means that there are: not where one of the tasks has few items."""
    compared = tables.comparisons[tables.comparisons["difference"].notna() & (tables.comparisons["task"] == MEAN)]
    return bool(compared.empty or compared["p"].notna().any())


def _lasting(tables: Tables, mine: Any) -> list[str]:
    """What is known of the last iteration against the objective's best earlier one: lost, kept to within a point, or neither.

    Each is said only where the interval shows it: all of it below 0, or none of it below one point lost. The interval is right
    for all earlier iterations at once, among which the best was found. A best iteration that is the last one has lost nothing.
    """
    if tables.last == 0 or "since_best" not in mine or not mine["since_best_low"].notna().any():
        return []
    lost, kept, open_ = [], [], []
    for row in mine[mine["since_best_low"].notna()].to_dict("records"):
        said = f"{row['objective']} {100 * row['since_best']:+.1f}" + bounds(row["since_best_low"], row["since_best_high"])
        (lost if row["since_best_high"] < 0 else kept if row["since_best_low"] > -LASTING else open_).append(said)
    found = []
    over = " over items alone" if tables.seeds < SEEDS_FOR_INTERVAL else ""
    if lost:
        found.append(f"lower at the last iteration than at its best one (95 % interval{over} below 0): {'; '.join(lost)}.")
    if kept:
        found.append(f"at most a point below its best iteration at the last one (95 % interval{over}): {'; '.join(kept)}.")
    if open_:
        found.append(f"not known whether it lost anything since its best iteration: {'; '.join(open_)}.")
    return found


def lead(pair: dict[str, Any]) -> str:
    return f"{100 * pair['difference']:+.1f}" + bounds(pair["low"], pair["high"])


def bounds(low: float, high: float) -> str:
    """An interval of a difference in points; nothing where there is none."""
    return "" if pd.isna(low) else f" [{100 * low:+.1f}, {100 * high:+.1f}]"


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
                MISSING if pd.isna(gain) else f"{100 * gain:+.1f}" + bounds(row["gain_low"], row["gain_high"]),
                with_interval(row.get("drop", float("nan")), row.get("drop_low"), row.get("drop_high")),  # type: ignore[arg-type]
                MISSING if pd.isna(row.get("falls")) else f"{row['falls']:.1f}",
                percent(row.get("churn", float("nan"))),
                MISSING if pd.isna(row.get("chance_best")) else _chance(row["chance_best"]).replace(" %", ""),
            ]
        )
    header = ["objective", "best", "at", "last", "gain on initial", "drop", "falls", "churn", "chance best"]
    caption = (
        "Percent and points. best, at: top of the mean curve, its interval corrected for the choice; last: the last iteration, ▲ "
        "leads, ▽ behind the leader (p < 0.05, Holm), = not told apart from it; gain: paired over items and seeds; drop, falls, "
        "churn: per seed, then averaged (best minus last; iterations that lost; share of items that flip between iterations); "
        "chance best: of having the highest true mean at the last iteration. Numbers: standing.csv, stability.csv, "
        "comparisons.csv."
    )
    if several:
        return table(["panel", *header], rows, caption, "ll" + "r" * 8, "000000000" + "0", 6.6)
    return table(header, rows, caption, grow="0" * 9, size=7.4)


def _mark(row: dict[str, Any]) -> str:
    if row["leader"]:
        return " ▲"
    p = row["behind_leader_p_holm"]
    return "" if pd.isna(p) else " ▽" if p < SURE else " ="
