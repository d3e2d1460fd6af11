"""Training, drift, the checkpoints' responses, and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.analysis.facts import PHASE_KINDS
from harness.analysis.frames import select
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.figures.score_against_kl import KL_FIGURE, score_against_kl_caption
from harness.reporting.figures.training import MEASUREMENT_LABELS
from harness.reporting.report.blocks import Block, display_text, in_panel, samples, section, table, text
from harness.reporting.report.content.tables import Tables
from harness.reporting.tables.formatting import DASH, brackets, items_note

NUM_PROMPTS, MAX_LINES_PER_PROMPT, MAX_TRAINING_FIGURES = 2, 20, 4


def training_section(tables: Tables) -> Block:
    caption = (
        "Real and synthetic responses in training, step by step (first seed). Objectives with a "
        "reference: log-ratio to the opponent, which begins each iteration at 0; without one: log-probability of the whole "
        "response. Thin vertical lines: a new iteration begins. Numbers: training.csv."
    )
    return section("Training", *(tables.figure("training", number, caption) for number in range(1, MAX_TRAINING_FIGURES + 1)))


def drift_section(tables: Tables) -> Block:
    blocks: list[Block | None] = []
    bars = "bars: standard error over prompts"
    if tables.seeds > 1:
        bars = "means over seeds; bands: 95 % interval over seeds, on these prompts, from three on"
    if tables.results.averaged_tasks:
        blocks.append(tables.figure(KL_FIGURE, 1, kl_caption(tables)))
    for number, panel in enumerate(tables.panels, 1):
        where = f" ({panel['title']})" if panel["title"] else ""
        caption = (
            f"The same held-out prompts after every iteration{where}, one sampled response each (start: initial policy); {bars}. "
            "KL(p ‖ q): on samples of p, per response; previous: the opponent. reward agrees: share of prompts on which the "
            "response with the higher reward is also the more likely one. Numbers: drift.csv; each seed's: dynamics.csv."
        )
        blocks += [tables.figure("drift", number, caption), drift_table(tables, panel)]
    return section("Drift", *blocks)


def kl_caption(tables: Tables) -> str:
    labels = list(dict.fromkeys(label for panel in tables.panels for label in panel["labels"]))
    rows = select(tables.leaderboard, objective=labels)
    items = items_note(tables.results, display_text)
    return score_against_kl_caption(select(tables.drift, objective=labels), rows, tables.last + 1, items)


def drift_table(tables: Tables, panel: dict[str, Any]) -> Block | None:
    """The initial policy and every objective's last iteration, measurement by measurement."""
    models = [(INITIAL, INITIAL_ITERATION), *((label, tables.last) for label in panel["labels"])]
    rows = []
    for name, label in MEASUREMENT_LABELS.items():
        measured = select(tables.drift, name=name)
        if measured.empty:
            continue
        counts = select(measured, objective=[objective for objective, _ in models])["n"].astype(int)
        found = [select(measured, objective=o, iteration=t).to_dict("records") for o, t in models]
        unit = str(measured["unit"].iloc[0]).replace("share of ", "of ")
        rows.append([label, unit, _range(counts), *(_format_measurement(one[0]) if one else DASH for one in found)])
    caption = (
        f"Initial policy and iteration {tables.last}{in_panel(panel)}; n: prompts (of each seed), for distinct-2 bigrams and for "
        "churn items; brackets: 95 % interval over seeds on these prompts, ±: standard error over prompts (one seed). "
        f"{kl_note(tables)} Numbers: drift.csv."
    )
    header = ["measurement", "unit", "n", *(objective for objective, _ in models)]
    return table(header, rows, caption, "llr" + "r" * len(models), "000" + "1" * len(models), 6.4)


def kl_note(tables: Tables) -> str:
    """Which divergences were measured, in which directions, and which are unknown."""
    names = set(tables.drift["name"])
    note = "KL in nats per response, KL(p ‖ q) estimated on samples of p (an estimate may fall below 0)"
    if "kl_previous" in names:
        note += ": a policy and its opponent (previous), and the initial policy"
    if "kl_previous" in names and "kl_previous_policy" not in names:
        note += ", in one direction alone, KL(policy ‖ other): the other was not measured"
    both = {"kl_data_policy", "kl_policy_data"}
    if both <= names:
        return f"{note}; data and policy, in both directions, for the data's distribution is known."
    return (
        f"{note}. The data's distribution is not known. Held-out NLL is KL(data ‖ policy) plus the data's own entropy, per "
        "token: the entropy is the same for all checkpoints, so differences of it are differences of that direction; KL(policy ‖ "
        "data) is unknown."
    )


def _range(counts: Any) -> str:
    if not len(counts):
        return DASH
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"


def _format_measurement(row: Mapping[Any, Any]) -> str:
    if not pd.isna(row["low"]):
        return f"{row['value']:.3g}" + brackets(row["low"], row["high"], "{:.3g}".format)
    return f"{row['value']:.3g}" + ("" if pd.isna(row["stderr"]) or row["stderr"] == 0 else f" ± {row['stderr']:.1g}")


def samples_section(tables: Tables) -> Block:
    """The first held-out prompts with the real response and those of every checkpoint of the first seed, by iteration."""
    results = tables.results
    first_seed = results.record["seeds"][0]
    labels = tables.panels[0]["labels"]
    initial = results.held_out_samples.get((INITIAL, None, INITIAL_ITERATION), [])[:NUM_PROMPTS]
    shown = _iterations_shown(tables.last, len(labels))
    trained = [(label, first_seed, t) for label in results.record["variants"] if label in labels for t in shown]
    keys = [(INITIAL, None, INITIAL_ITERATION), *trained]
    names = {key: "initial policy" if key[0] == INITIAL else f"{key[0]}, iter {key[2]}" for key in keys}
    prompts = []
    for index, row in enumerate(initial):
        rows = {key: results.held_out_samples[key][index] for key in keys if key in results.held_out_samples}
        texts = {key: display_text(one["text"]) + ("" if one["finished"] else " ▮ cut off") for key, one in rows.items()}
        responses = [[names[key], text] for key, text in texts.items()]
        shown_row = {name: display_text(row[name]) for name in ("prompt", "real")}
        prompts.append({"id": row["example_id"], **shown_row, "responses": responses})
    note = (
        "The first held-out prompts, with the real response and one sample of every checkpoint at temperature 1 (seed "
        f"{first_seed}), iterations {', '.join(map(str, shown))}. Origin: probe/samples.jsonl.gz of each iteration."
    )
    return section("What the checkpoints say", text(note), samples(prompts))


def _iterations_shown(last: int, objectives: int) -> list[int]:
    """All iterations where a prompt's lines fit half a page, else the first, the middle and the last, or the two ends."""
    for candidates in (range(last + 1), (0, last // 2, last), (0, last)):
        if len(set(candidates)) * objectives <= MAX_LINES_PER_PROMPT:
            break
    return sorted(set(candidates))


def cost_section(tables: Tables) -> Block:
    """Per variant, summed over seeds and iterations: tokens, seconds and peak memory of each phase."""
    costs = tables.read("tables/cost_total.csv")
    phases = list(dict.fromkeys([*PHASE_KINDS, *costs["phase"]]))
    rows = []
    for label in tables.results.variants:
        by_phase: dict[Any, Any] = select(costs, objective=label).set_index("phase").to_dict("index")
        tokens = [by_phase[phase]["tokens"] if phase in by_phase else math.nan for phase in PHASE_KINDS[:3]]
        spent = [by_phase.get(phase) for phase in phases]
        counts = (DASH if pd.isna(count) else f"{count / 1000:,.0f}" for count in tokens)
        cells = (DASH if one is None else f"{one['seconds']:,.0f}, {one['peak_memory_gib']:.2f}" for one in spent)
        rows.append([label, *counts, *cells])
    caption = (
        "Thousands of tokens (trained: with their prompts; drawn, scored: responses); then seconds, which depend on the "
        "machine and on what else ran on it, and peak memory in GiB of each phase; sums (memory: maximum) over seeds and "
        "iterations. The initial policy's samples are generated once and shared; each objective's cost includes its part of "
        "them. Phases reused from another run have their cost of there. Numbers: cost_total.csv, per iteration cost.csv."
    )
    header = ["objective", "k drawn", "k scored", "k trained", *(f"{p}: s, GiB" for p in phases)]
    return section("Cost", table(header, rows, caption, size=6.8))
