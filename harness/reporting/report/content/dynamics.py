"""Training, drift, the checkpoints' responses, and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness.analysis.facts import PHASE_KINDS
from harness.analysis.frames import select
from harness.records import INITIAL, INITIAL_ITERATION
from harness.reporting.display_text import display_text
from harness.reporting.figures.score_against_kl import KL_FIGURE, score_against_kl_caption
from harness.reporting.first_page.numbers import PanelNumbers
from harness.reporting.report.blocks import Block, in_panel, samples, section, table, text
from harness.reporting.report.content.figures import figure_block
from harness.reporting.tables.formatting import DASH, items_note
from harness.reporting.tables.reading import Tables

NUM_PROMPTS, MAX_LINES_PER_PROMPT, MAX_RESPONSE_CHARS = 2, 10, 150


def training_section(tables: Tables) -> Block:
    note = (
        "Objectives with a reference are shown by the log-ratio of a response to the opponent, which begins each iteration at 0; "
        "those without one by the log-probability of the whole response."
    )
    caption = (
        "Real and synthetic responses in training, step by step (first seed). Thin vertical lines: a new iteration begins. "
        "Numbers: training.csv."
    )
    if figure_block(tables, "training", 2, caption):
        caption += " Further variants: training-2.svg and on, in the run's plots/."
    drawn = figure_block(tables, "training", 1, caption)
    return section("Training", text(note) if drawn else None, drawn)


def drift_section(tables: Tables) -> Block:
    bars = "bars: standard error over prompts"
    if tables.seeds > 1:
        bars = "means over seeds; bands: 95 % interval over seeds, on these prompts, from three on"
    measured = select(tables.drift, name="heldout_nll_per_token")["n"].dropna().astype(int)
    prompts = f"n = {_range(measured)} prompts of each seed; " if len(measured) else ""
    caption = (
        f"The same held-out prompts after every iteration{in_panel(tables.panels[0])}, one sampled response each; {prompts}"
        f"{bars}. previous: the opponent; reward agrees: share of prompts on which the response with the higher reward is also "
        "the more likely one. Numbers: drift.csv; each seed's: dynamics.csv."
    )
    path = figure_block(tables, KL_FIGURE, 1, kl_caption(tables)) if tables.results.averaged_tasks else None
    return section("Drift", text(kl_note(tables)), path, figure_block(tables, "drift", 1, caption))


def kl_caption(tables: Tables) -> str:
    labels = list(dict.fromkeys(label for panel in tables.panels for label in panel["labels"]))
    rows = select(tables.leaderboard, objective=labels)
    items = items_note(tables.results, display_text, brief=True)
    return score_against_kl_caption(select(tables.drift, objective=labels), rows, tables.last + 1, items)


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


def samples_section(tables: Tables) -> Block:
    """The held-out prompts whose responses differ most between checkpoints, with the real response; of the first seed."""
    results, numbers = tables.results, PanelNumbers(tables, tables.panels[0])
    first_seed = results.record["seeds"][0]
    labels = tables.panels[0]["labels"]
    shown = _iterations_shown(tables.last, len(labels))
    trained = [(label, first_seed, t) for label in results.record["variants"] if label in labels for t in shown]
    keys = [(INITIAL, None, INITIAL_ITERATION), *trained]
    names = {key: "start" if key[0] == INITIAL else f"{numbers.names[key[0]]}, iter {key[2]}" for key in keys}
    kept = {key: results.held_out_samples[key] for key in keys if key in results.held_out_samples}
    start = kept.get(keys[0], [])
    different = [len({rows[i]["text"] for rows in kept.values() if i < len(rows)}) for i in range(len(start))]
    most = sorted(range(len(start)), key=lambda i: -different[i])[: NUM_PROMPTS if len(labels) <= MAX_LINES_PER_PROMPT else 1]
    prompts = []
    for index in sorted(most):
        rows = {key: of_key[index] for key, of_key in kept.items() if index < len(of_key)}
        responses = [[names[key], _shown_response(one)] for key, one in rows.items()]
        row = start[index]
        shown_row = {name: display_text(row[name]) for name in ("prompt", "real")}
        prompts.append({"id": row["example_id"], **shown_row, "responses": responses})
    note = (
        f"Of {len(start)} held-out prompts those whose responses differ most between these checkpoints, one sample of each at "
        f"the run's temperature (seed {first_seed}), iterations {', '.join(map(str, shown))}. Origin: probe/samples.jsonl.gz."
    )
    return section("What the checkpoints say", text(note), samples(prompts))


def _shown_response(sample: Mapping[str, Any]) -> str:
    return display_text(sample["text"], MAX_RESPONSE_CHARS) + ("" if sample["finished"] else " ▮ cut off")


def _iterations_shown(last: int, objectives: int) -> list[int]:
    """All iterations where there is room, else the first, the middle and the last, or the two ends, or the last alone."""
    for candidates in (range(last + 1), (0, last // 2, last), (0, last), (last,)):
        if len(set(candidates)) * objectives <= MAX_LINES_PER_PROMPT:
            break
    return sorted(set(candidates))


def cost_section(tables: Tables) -> Block:
    """Per variant, summed over seeds and iterations: tokens, seconds and peak memory of each phase."""
    costs, numbers = tables.read("tables/cost_total.csv"), PanelNumbers(tables, tables.panels[0])
    phases = list(dict.fromkeys([*PHASE_KINDS, *costs["phase"]]))
    rows = []
    for label in tables.results.variants:
        by_phase: dict[Any, Any] = select(costs, objective=label).set_index("phase").to_dict("index")
        tokens = [by_phase[phase]["tokens"] if phase in by_phase else math.nan for phase in PHASE_KINDS[:3]]
        spent = [by_phase.get(phase) for phase in phases]
        counts = (DASH if pd.isna(count) else f"{count / 1000:,.0f}" for count in tokens)
        cells = (DASH if one is None else f"{one['seconds']:,.0f}, {one['peak_memory_gib']:.2f}" for one in spent)
        rows.append([numbers.names[label], *counts, *cells])
    caption = (
        "Thousands of tokens (trained: with their prompts; drawn, scored: responses); then seconds, which depend on the "
        "machine and on what else ran on it, and peak memory in GiB of each phase; sums (memory: maximum) over seeds and "
        "iterations. The initial policy's samples are generated once and shared; each objective's cost includes its part of "
        "them. Phases reused from another run have their cost of there. Numbers: cost_total.csv, per iteration cost.csv."
    )
    header = ["objective", "k drawn", "k scored", "k trained", *(f"{p}: s, GiB" for p in phases)]
    return section("Cost", table(header, rows, caption, size=6.8))
