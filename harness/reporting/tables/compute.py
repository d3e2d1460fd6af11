"""Cost of both sides of a study's contrast, in tokens and in seconds: compute.csv, sums of cost.csv.

"Equal compute" has two measures. Tokens depend on the objective and the data alone: those trained (with their prompts), generated
and scored (responses), and in one number, where a trained token counts three, for the backward pass costs about two forward ones.
Seconds depend on the machine and on what else ran on it, and include what tokens do not: generation is sequential, small steps
are latency-bound.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.facts import Frame, RunResults

FORWARD_PASSES = {"train": 3, "generate": 1, "score": 1}  # forward passes that a token costs
TOKEN_NAMES = {"train": "trained", "generate": "drawn", "score": "scored"}
COST_NAMES = ("tokens_trained", "tokens_drawn", "tokens_scored", "token_passes", "seconds")
SIDE_COLUMNS = [f"{name}_{side}" for side in "ab" for name in COST_NAMES]
COLUMNS = [
    "question",
    "a",
    "iteration_a",
    "b",
    "iteration_b",
    "seeds",
    *SIDE_COLUMNS,
    "token_passes_ratio",
    "seconds_ratio",
    "source",
]


def compute_table(results: RunResults) -> Frame:
    """One row per contrast of the study: each side's cost up to its iteration, mean over the seeds that have both, and the ratio
    of a to b. Seconds are those of generation, scoring and training. No numbers where no seed has both."""
    rows = []
    for contrast in results.study.get("contrasts", []):
        sides = {side: (str(label), int(iteration)) for side, (label, iteration) in (("a", contrast["a"]), ("b", contrast["b"]))}
        seeds = [s for s in results.record["seeds"] if all(_has_trained(results, label, s, t) for label, t in sides.values())]
        row: dict[str, Any] = {"question": contrast["question"], "seeds": len(seeds), "source": "cost.csv"}
        for side, (label, iteration) in sides.items():
            row |= {side: label, f"iteration_{side}": iteration}
            if seeds:
                row |= {f"{name}_{side}": value for name, value in cost_of_model(results, label, iteration, seeds).items()}
        for name in ("token_passes", "seconds"):
            cost_b = row.get(f"{name}_b")
            row[f"{name}_ratio"] = row[f"{name}_a"] / cost_b if cost_b else None
        rows.append(row)
    table: Frame = pd.DataFrame(rows, columns=COLUMNS)
    token_columns = [name for name in SIDE_COLUMNS if name.startswith("token")]
    table[token_columns] = table[token_columns].astype("Int64")
    return table


def cost_of_model(results: RunResults, label: str, iteration: int, seeds: list[int]) -> dict[str, float]:
    """Tokens and seconds of one model, from the initial policy on, mean over seeds; 0 for a kind of token without any."""
    costs = results.costs
    model_rows = costs[(costs["objective"] == label) & costs["seed"].isin(seeds) & (costs["iteration"] <= iteration)]
    totals: dict[str, float] = {}
    for phase, name in TOKEN_NAMES.items():
        totals[f"tokens_{name}"] = round(
            float(model_rows.loc[model_rows["phase"] == phase, "tokens"].fillna(0).sum()) / len(seeds)
        )
    totals["token_passes"] = sum(FORWARD_PASSES[phase] * totals[f"tokens_{name}"] for phase, name in TOKEN_NAMES.items())
    seconds = model_rows.loc[model_rows["phase"].isin(list(FORWARD_PASSES)), "seconds"].sum()
    return totals | {"seconds": round(float(seconds) / len(seeds), 3)}


def _has_trained(results: RunResults, label: str, seed: int, iteration: int) -> bool:
    costs = results.costs
    train_rows = costs[(costs["objective"] == label) & (costs["seed"] == seed) & (costs["phase"] == "train")]
    return set(range(iteration + 1)) <= set(train_rows["iteration"])
