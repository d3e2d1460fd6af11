"""The section of a study: its arms, its contrasts, and the settings it chose."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.reporting.display_text import display_text
from harness.reporting.report.blocks import Block, section, table
from harness.reporting.report.content.published import published_table
from harness.reporting.tables.comparisons import MEAN_TASK
from harness.reporting.tables.formatting import DASH, brackets, p_value, points, with_interval
from harness.reporting.tables.reading import Tables

SHOWN = ("mean", "mean_low", "mean_high", "item_stderr")
PASSES_NOTE = "passes: forward passes of all tokens, a trained one counted as three, for its backward pass"


def study_section(tables: Tables) -> Block | None:
    study = tables.results.study
    if not study:
        return None
    published = published_table(tables, study["published"]) if study.get("published") else None
    blocks = arms_block(tables), contrasts_block(tables), published, chosen_block(tables), tuned_block(tables)
    return section("The study", *blocks)


def arms_block(tables: Tables) -> Block | None:
    arms = tables.optional("tables/study.csv")
    if arms is None:
        return None
    shown = [c.removeprefix("mean_iteration_") for c in arms.columns if c.startswith("mean_iteration_")]
    rows = []
    for row in arms.to_dict("records"):
        scores = [with_interval(*(row[f"{name}_iteration_{t}"] for name in SHOWN)) for t in shown]
        tokens = [_thousands(row[name]) for name in ("tokens_generate", "tokens_score", "tokens_train", "token_passes")]
        rows.append([display_text(row["note"]), row["objective"], *scores, *tokens, _seconds(row["seconds"])])
    header = ["arm", "label", *(f"iter {t}" for t in shown), "drawn", "scored", "trained", "passes", "s"]
    caption = (
        "Mean over tasks in percent, with 95 % interval over items and seeds from three on, else ± item standard error. drawn "
        f"(generated), scored, trained: thousands of tokens per seed over all iterations; {PASSES_NOTE}; s: seconds of "
        f"generation, scoring and training per seed, {machine_note(tables)}. Numbers: study.csv, from cost.csv."
    )
    align, grow = "ll" + "r" * (len(header) - 2), "10" + "0" * (len(header) - 2)
    return table(header, rows, caption, align, grow, 6.8)


def machine_note(tables: Tables) -> str:
    hardware = tables.results.record["hardware"]
    num_versions = select(tables.versions, name=list(hardware)).groupby("name")["version"].nunique()
    machine = f"{hardware.get('device')}, {hardware.get('cpus')} cores"
    shown_machine = "several: versions.csv" if (num_versions > 1).any() else display_text(machine)
    return f"which depend on the machine ({shown_machine}) and on what else ran on it"


def _thousands(value: float) -> str:
    return DASH if pd.isna(value) else f"{value / 1000:,.0f}"


def _seconds(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:,.0f}"


def contrasts_block(tables: Tables) -> Block | None:
    comparisons = select(tables.comparisons, panel="study", task=MEAN_TASK).dropna(subset="difference")
    compute = tables.optional("tables/compute.csv")
    rows = []
    for contrast in tables.results.study.get("contrasts", []):
        question = display_text(contrast["question"])
        numbers = [DASH, DASH, "0"]
        for row in select(comparisons, question=contrast["question"]).head(1).to_dict("records"):
            numbers = [
                f"{points(row['difference'])}{brackets(row['low'], row['high'], points)} points",
                p_value(row["p_holm"]),
                str(int(row["seeds"])),
            ]
        sides = [f"{label}, iter {t}" for label, t in (contrast["a"], contrast["b"])]
        rows.append([question, *sides, *numbers, *_compute_cells(compute, question)])
    method = "by bootstrap over" if tables.by_bootstrap else "over"
    caption = (
        f"The study's own comparisons: a minus b in the mean over tasks, 95 % interval and p {method} items, and seeds from "
        "three on, paired on both; p corrected over these rows (Holm). Per task: comparisons.csv. passes, s: cost of a "
        f"over that of b, in thousands of token passes and in seconds, per seed up to its iteration; {PASSES_NOTE}; seconds of "
        f"generation, scoring and training, {machine_note(tables)}. Numbers, also by kind of token: compute.csv, from cost.csv."
    )
    header = ["question", "a", "b", "a − b", "p", "seeds", "passes, a / b", "s, a / b"]
    return table(header, rows, caption, "lllrrrrr", "10000000", 6.6)


def _compute_cells(compute: Any, question: str) -> list[str]:
    """A contrast's cost as two cells, `a / b = ratio` in token passes and in seconds."""
    if compute is None:
        return [DASH, DASH]
    (row,) = compute[[display_text(q) == question for q in compute["question"]]].head(1).to_dict("records") or [{}]
    cells = []
    for name, show in (("token_passes", _thousands), ("seconds", _seconds)):
        ratio = row.get(f"{name}_ratio")
        has_ratio = ratio is not None and not pd.isna(ratio)
        cells.append(f"{show(row[f'{name}_a'])} / {show(row[f'{name}_b'])} = {ratio:.2f}" if has_ratio else DASH)
    return cells


def chosen_block(tables: Tables) -> Block | None:
    chosen = tables.optional("tables/chosen.csv")
    if chosen is None:
        return None
    grid = tables.results.study["grid"]
    values = sorted(chosen["value"].unique())
    criterion = grid["choose"]
    rows = []
    for objective in chosen["objective"].unique():
        rows_by_value = select(chosen, objective=objective).set_index("value").to_dict("index")
        rows.append([objective, *(_format_candidate(rows_by_value.get(value), criterion) for value in values)])
    caption = (
        f"Every objective at every value of {grid['key']}: mean of {grid['validation']} at the {criterion} iteration, items that "
        f"the leaderboard does not use, {tables.seeds} seed(s); ◀ chosen; edge: the smallest or largest value tried, so a better "
        "one may lie outside. ±: standard error of sampling items, at the last iteration. The scores elsewhere in this report "
        "are the chosen ones on the leaderboard. Numbers: chosen.csv."
    )
    return table(["objective", *(f"{value:g}" for value in values)], rows, caption, grow="0" * (len(values) + 1), size=8.5)


def _format_candidate(row: dict[str, Any] | None, criterion: str) -> str:
    if row is None or pd.isna(row[f"validation_{criterion}"]):
        return DASH
    error = row["item_stderr_last"] if criterion == "last" else float("nan")
    mark = " ◀ edge" if row.get("at_edge") else " ◀" if row["chosen"] else ""
    return with_interval(row[f"validation_{criterion}"], error=error) + mark


def tuned_block(tables: Tables) -> Block | None:
    study = tables.results.study
    if not study.get("tuned_by"):
        return None
    record = tables.results.record
    variants, shared = record["variants"], record["identity"]["training"]
    common, tuned = (panel["labels"] for panel in study["panels"])
    rows = []
    for a, b in zip(common, tuned, strict=True):
        own = ", ".join(f"{k} = {v:g}, common {shared[k]:g}" for k, v in variants[b]["training"].items())
        rows.append([a, b, "the common setting" if a == b else own])
    caption = f"Each objective's own setting was chosen by the run {display_text(study['tuned_by'])} on validation items."
    return table(["objective", "tuned variant", "its setting"], rows, caption, "lll", "001", 8)
