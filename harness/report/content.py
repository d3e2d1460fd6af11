"""What the report says, as plain data that the typst template reads; no text of a model or data set is ever source code.

Every number comes from the tables of the run; this file only chooses, rounds and words.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pandas as pd

from harness.facts import Facts, Frame
from harness.figures.training import NAMES
from harness.records import INITIAL
from harness.tables.curves import stability_table
from harness.tables.leaderboard import leaderboard
from harness.tables.printed import MISSING, percent, printed_rows

SHOWN_PROMPTS = 3
LONGEST_TEXT = 400


def content(facts: Facts) -> dict[str, Any]:
    """Everything the template needs, JSON-ready, the same for the same run folder."""
    board, curves = leaderboard(facts), stability_table(facts)
    header, rows = printed_rows(facts, board)
    record = facts.record
    return {
        "name": visible(record["name"]),
        "suite": f"{facts.suite['name']} v{facts.suite['version']}",
        "suite_title": visible(facts.suite["title"]),
        "summary": summary(facts, board, curves),
        "stability": stability_rows(facts, board, curves),
        "leaderboard": {"header": header, "rows": rows, "groups": group_starts(rows)},
        "items": items_note(facts),
        "dynamics": dynamics_rows(facts),
        "samples": sample_blocks(facts),
        "cost": cost_rows(facts),
        "settings": settings_rows(record["identity"]),
        "variants": [variant_block(facts, label) for label in facts.variants],
        "tasks": [
            [t["name"], t["stands_for"] or MISSING, str(t["shots"]), t["metric"], t["filter"], f"{t['chance']:.2f}",
             str(t["limit"] or facts.record["config"]["evaluation"]["limit"] or "all")]
            for t in facts.suite["task"]
        ],
        "provenance": provenance_rows(facts),
        "failed": [[visible(cell), visible(error)] for cell, error in facts.failed.items()],
        "data": [[key, str(value)] for key, value in data_counts(facts).items()],
        "figures": [
            name for name in ("stability_curves", "tasks", "training", "dynamics")
            if (facts.root / "plots" / f"{name}.svg").exists()
        ],
    }  # fmt: skip


def visible(text: Any) -> str:
    """Text safe to set: control characters and lone surrogates shown as escapes, very long words broken, length bounded."""
    shown = "".join(_shown(c) for c in str(text))
    shown = shown if len(shown) <= LONGEST_TEXT else shown[:LONGEST_TEXT] + " […]"
    return " ".join("\u200b".join(word[i : i + 40] for i in range(0, len(word), 40)) for word in shown.split(" "))


def _shown(character: str) -> str:
    if character == "\n":
        return " ⏎ "
    if unicodedata.category(character) in ("Cc", "Cs", "Cf", "Co", "Cn"):
        return f"\\u{{{ord(character):x}}}"
    return character


# ---------------------------------------------------------------- summary


def summary(facts: Facts, board: Frame, curves: Frame) -> list[str]:
    """Which objective, at which iteration, how sure, and does it last: sentences for the first page."""
    trained = board[(board["objective"] != INITIAL) & board["mean"].notna()]
    start = board[board["objective"] == INITIAL].iloc[0]
    if trained.empty or pd.isna(start["mean"]):
        return ["No trained iteration has been evaluated on every task, so nothing can be said yet."]
    top = trained.loc[trained["mean"].idxmax()]
    gain = 100 * (top["mean"] - start["mean"])
    sentences = [
        f"The highest mean over the {len(facts.suite['task'])} tasks is {percent(top['mean'])} %, reached by {top['objective']} "
        f"at iteration {top['iteration']} (item standard error {100 * top['item_stderr']:.1f}); the initial policy has "
        f"{percent(start['mean'])} %, so the gain is {gain:+.1f} points."
    ]
    lasts = trained.groupby("objective")["iteration"].idxmax()
    last = trained.loc[lasts].sort_values("mean", ascending=False)
    listed = ", ".join(f"{r['objective']} {percent(r['mean'])} % (iteration {r['iteration']})" for _, r in last.iterrows())
    sentences.append(f"At the last iteration: {listed}.")
    for objective, rows in curves.groupby("objective", sort=False):
        drop, falls = 100 * rows["drop"].mean(), rows["falls"].mean()
        lasting = "its last iteration is its best" if drop == 0 else f"it ends {drop:.1f} points below its best iteration"
        sentences.append(f"Does {objective} last? On average over {len(rows)} seed(s) {lasting}, with {falls:.1f} falls.")
    seeds = len(facts.record["seeds"])
    sentences.append(
        f"How sure? {seeds} seeds: the curves show an interval over seeds."
        if seeds >= 3
        else f"How sure? n = {seeds} seed(s): no interval over seeds can be given. The errors shown come from sampling test "
        "items; they say nothing about how another seed would have trained."
    )
    sentences.append("The best iteration is found on the same items it is reported on, so it flatters every objective a little.")
    return sentences


def stability_rows(facts: Facts, board: Frame, curves: Frame) -> list[list[str]]:
    """Per variant: best, last, drop, largest fall, falls, area lost; means over seeds, in percentage points."""
    found = []
    for variant in facts.variants:
        rows = curves[curves["objective"] == variant]
        mine = board[(board["objective"] == variant) & board["best"]]
        if rows.empty or mine.empty:
            found.append([variant, *[MISSING] * 7])
            continue
        best = mine.iloc[0]
        found.append(
            [
                variant,
                f"{percent(best['mean'])} ± {100 * best['item_stderr']:.1f}",
                str(best["iteration"]),
                percent(rows["last"].mean()),
                f"{100 * rows['drop'].mean():.1f}",
                f"{100 * rows['largest_fall'].mean():.1f}",
                f"{rows['falls'].mean():.1f} of {int(rows['iterations'].max()) - 1}",
                f"{100 * rows['area_lost'].mean():.2f}",
            ]
        )
    return found


def group_starts(rows: list[list[str]]) -> list[int]:
    """Indices of leaderboard rows where another objective begins, for the rules between groups."""
    return [i for i in range(1, len(rows)) if rows[i][0] != rows[i - 1][0]]


def items_note(facts: Facts) -> str:
    counts = sorted({int(n) for n in facts.scores["n"]})
    if not counts:
        return "no task has been evaluated"
    return f"n = {counts[0]} items per task" if len(counts) == 1 else f"n = {counts[0]} to {counts[-1]} items per task"


# ---------------------------------------------------------------- tables


def dynamics_rows(facts: Facts) -> dict[str, Any]:
    """Header and rows of the drift table: value ± standard error over held-out prompts, first seed."""
    names = [n for n in NAMES if (facts.dynamics["name"] == n).any()]
    first = facts.record["seeds"][0]
    rows = []
    for place in facts.places:
        if place.seed not in (None, first):
            continue
        mine = facts.dynamics[(facts.dynamics["objective"] == place.objective) & (facts.dynamics["iteration"] == place.iteration)]
        mine = mine[(mine["seed"] == place.seed) if place.seed is not None else mine["seed"].isna()].set_index("name")
        cells = []
        for name in names:
            if name not in mine.index:
                cells.append(MISSING)
                continue
            value, error = mine.loc[name, "value"], mine.loc[name, "stderr"]
            cells.append(f"{value:.3g}" + ("" if pd.isna(error) else f" ± {error:.2g}"))
        rows.append([place.objective, "initial" if place.objective == INITIAL else str(place.iteration), *cells])
    prompts = facts.dynamics.loc[facts.dynamics["name"] == "heldout_nll_per_token", "n"]
    return {
        "header": ["objective", "iter", *(NAMES[n] for n in names)],
        "rows": rows,
        "groups": group_starts(rows),
        "n": str(int(prompts.iloc[0])) if len(prompts) else MISSING,
        "seed": str(first),
    }


def cost_rows(facts: Facts) -> list[list[str]]:
    """Per variant: tokens generated, scored and trained, seconds per phase, peak memory; summed over seeds and iterations."""
    found = []
    for variant in facts.variants:
        mine = facts.costs[facts.costs["objective"] == variant]
        cells = [variant]
        for phase in ("generate", "score", "train"):
            tokens = mine.loc[mine["phase"] == phase, "tokens"].dropna()
            cells.append(f"{int(tokens.sum()):,}" if len(tokens) else MISSING)
        for phase in ("generate", "score", "train", "evaluate", "probe"):
            seconds = mine.loc[mine["phase"] == phase, "seconds"]
            cells.append(f"{seconds.sum():.0f}" if len(seconds) else MISSING)
        peak = mine["peak_memory_gib"].max()
        cells.append(MISSING if pd.isna(peak) else f"{peak:.2f}")
        found.append(cells)
    return found


def sample_blocks(facts: Facts) -> list[dict[str, Any]]:
    """The first held-out prompts with the real response and what every player of the first seed said."""
    first = facts.record["seeds"][0]
    initial = facts.samples.get((INITIAL, None, -1), [])[:SHOWN_PROMPTS]
    blocks = []
    for index, row in enumerate(initial):
        said = []
        for place in facts.places:
            rows = facts.samples.get((place.objective, place.seed, place.iteration))
            if rows is None or place.seed not in (None, first):
                continue
            who = "initial policy" if place.objective == INITIAL else f"{place.objective}, iter {place.iteration}"
            said.append([who, visible(rows[index]["text"]) + ("" if rows[index]["finished"] else " ▮ cut off")])
        blocks.append({"id": row["example_id"], "prompt": visible(row["prompt"]), "real": visible(row["real"]), "said": said})
    return blocks


def settings_rows(identity: dict[str, Any]) -> list[list[str]]:
    return [
        [f"{section}.{key}", visible(json.dumps(value))] for section, values in identity.items() for key, value in values.items()
    ]


def variant_block(facts: Facts, label: str) -> dict[str, Any]:
    """Title, citation, settings of every iteration and deviations from the shared training settings of one variant."""
    variant = facts.record["variants"][label]
    resolved = variant["resolved"]
    parameters = []
    for key in resolved[0]:
        values = [step[key] for step in resolved]
        same = all(v == values[0] for v in values)
        parameters.append([key, visible(values[0]) if same else " → ".join(visible(v) for v in values) + " (by iteration)"])
    cited = variant["citation"]
    needs = variant["needs"][-1]
    return {
        "label": label,
        "title": visible(variant["title"]),
        "citation": visible(f"{cited['label']}: {cited['title']}. {cited['where']}."),
        "url": visible(cited["url"]),
        "parameters": parameters,
        "needs": ", ".join(k if v is True else f"{k} {v}" for k, v in needs.items() if v) or "nothing",
        "deviations": [[f"training.{k}", visible(v)] for k, v in variant["training"].items()],
        "digest": variant["source_digest"],
    }


def data_counts(facts: Facts) -> dict[str, Any]:
    from harness.store import MANIFEST, read_json

    path = facts.root / "data" / MANIFEST
    return read_json(path)["counts"] if path.is_file() else {}


def provenance_rows(facts: Facts) -> list[list[str]]:
    record = facts.record
    dirty = {True: " with uncommitted changes", False: "", None: ""}[record["git_dirty"]]
    step0 = facts.costs["step0"].dropna()
    return [
        ["program", f"selfplay-harness {record['created_by_version']}"],
        ["commit", f"{record['git_commit'] or 'not run from a checkout'}{dirty}"],
        ["command", visible(" ".join(record["command"]))],
        ["base model digest", str(record["base_digest"])],
        ["prompt template", record["template"]],
        *[[f"hardware: {k}", visible(v)] for k, v in record["hardware"].items()],
        *[[f"version: {k}", str(v)] for k, v in record["versions"].items()],
        ["lm-eval pinned by suite", facts.suite["lm_eval"]],
        ["step-0 invariant", f"|log-ratio| per token before an update ≤ {step0.max():.2g} nats" if len(step0) else MISSING],
    ]  # fmt: skip
