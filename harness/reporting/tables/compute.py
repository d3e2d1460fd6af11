"""What either side of a study's contrast was played with, in tokens and in seconds: compute.csv, sums of cost.csv.

"Equal compute" is two statements. Tokens depend on the objective and the data alone: those trained (with their prompts), drawn
and scored (responses), and in one number, where a trained token counts three, for the backward pass costs about two forward ones.
Seconds depend on the machine and on what ran beside, and tell what tokens do not: drawing goes token by token, small steps wait.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.facts import Facts, Frame

PASSES = {"train": 3, "generate": 1, "score": 1}  # forward passes that a token costs
NAMES = {"train": "trained", "generate": "drawn", "score": "scored"}
NUMBERS = ("tokens_trained", "tokens_drawn", "tokens_scored", "token_passes", "seconds")
SIDED = [f"{name}_{side}" for side in "ab" for name in NUMBERS]
COLUMNS = ["question", "a", "iteration_a", "b", "iteration_b", "seeds", *SIDED, "token_passes_ratio", "seconds_ratio", "source"]


def compute_table(facts: Facts) -> Frame:
    """One row per contrast of the study: each side's cost up to its iteration, mean over the seeds that have played both, and a's
    over b's. Seconds are those of drawing, scoring and training. No numbers where no seed has played both."""
    rows = []
    for contrast in facts.study.get("contrasts", []):
        sides = {side: (str(label), int(iteration)) for side, (label, iteration) in (("a", contrast["a"]), ("b", contrast["b"]))}
        seeds = [s for s in facts.record["seeds"] if all(_trained(facts, label, s, t) for label, t in sides.values())]
        row: dict[str, Any] = {"question": contrast["question"], "seeds": len(seeds), "source": "cost.csv"}
        for side, (label, iteration) in sides.items():
            row |= {side: label, f"iteration_{side}": iteration}
            if seeds:
                row |= {f"{name}_{side}": value for name, value in cost_of_player(facts, label, iteration, seeds).items()}
        for name in ("token_passes", "seconds"):
            below = row.get(f"{name}_b")
            row[f"{name}_ratio"] = row[f"{name}_a"] / below if below else None
        rows.append(row)
    table: Frame = pd.DataFrame(rows, columns=COLUMNS)
    whole = [name for name in SIDED if name.startswith("token")]
    table[whole] = table[whole].astype("Int64")
    return table


def cost_of_player(facts: Facts, label: str, iteration: int, seeds: list[int]) -> dict[str, float]:
    """Tokens and seconds that made one player, from the initial policy on, mean over seeds; none of a kind are 0."""
    costs = facts.costs
    mine = costs[(costs["objective"] == label) & costs["seed"].isin(seeds) & (costs["iteration"] <= iteration)]
    found: dict[str, float] = {}
    for phase, name in NAMES.items():
        found[f"tokens_{name}"] = round(float(mine.loc[mine["phase"] == phase, "tokens"].fillna(0).sum()) / len(seeds))
    found["token_passes"] = sum(PASSES[phase] * found[f"tokens_{name}"] for phase, name in NAMES.items())
    seconds = mine.loc[mine["phase"].isin(list(PASSES)), "seconds"].sum()
    return found | {"seconds": round(float(seconds) / len(seeds), 3)}


def _trained(facts: Facts, label: str, seed: int, iteration: int) -> bool:
    costs = facts.costs
    mine = costs[(costs["objective"] == label) & (costs["seed"] == seed) & (costs["phase"] == "train")]
    return set(range(iteration + 1)) <= set(mine["iteration"])
