"""Sums of cost.csv: every objective's by phase (cost_total.csv), and both sides of a study's contrast (compute.csv).

"Equal compute" has two measures. Tokens depend on the objective and the data alone: those trained (with their prompts), generated
and scored (responses), and in one number, where a trained token counts three, for the backward pass costs about two forward ones.
Seconds depend on the machine and on what else ran on it, and include what tokens do not: generation is sequential, small steps
are latency-bound.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers

FORWARD_PASSES = {"train": 3, "generate": 1, "score": 1}  # forward passes that a token costs
TOKEN_NAMES = {"train": "trained", "generate": "drawn", "score": "scored"}
COST_NAMES = ("tokens_trained", "tokens_drawn", "tokens_scored", "token_passes", "seconds")
SIDE_COLUMNS = [f"{name}_{side}" for side in "ab" for name in COST_NAMES]
COLUMNS = ["question", "a", "iteration_a", "b", "iteration_b", "seeds", *SIDE_COLUMNS, "token_passes_ratio", "seconds_ratio",
           "source"]  # fmt: skip

TOTAL_COLUMNS = ["objective", "phase", "phases", "tokens", "seconds", "peak_memory_gib", "source"]


def cost_totals(results: RunResults) -> Frame:
    """One row per variant and phase: number of phases, tokens (empty where none are counted), seconds, highest memory."""
    rows = []
    for label in results.variants:
        for phase, costs in select(results.costs, objective=label).groupby("phase", sort=False):
            tokens, seconds = costs["tokens"].sum(min_count=1), round(float(costs["seconds"].sum()), 3)
            rows.append((label, phase, len(costs), tokens, seconds, float(costs["peak_memory_gib"].max()), "cost.csv"))
    return with_integers(pd.DataFrame(rows, columns=TOTAL_COLUMNS), "tokens")


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
    return with_integers(pd.DataFrame(rows, columns=COLUMNS), *(name for name in SIDE_COLUMNS if name.startswith("token")))


def cost_of_model(results: RunResults, label: str, iteration: int, seeds: list[int]) -> dict[str, float]:
    """Tokens and seconds of one model, from the initial policy on, mean over seeds; 0 for a kind of token without any."""
    rows = select(results.costs, objective=label, seed=seeds, iteration=list(range(iteration + 1)), phase=list(TOKEN_NAMES))
    tokens = {phase: round(float(select(rows, phase=phase)["tokens"].fillna(0).sum()) / len(seeds)) for phase in TOKEN_NAMES}
    return {
        **{f"tokens_{name}": tokens[phase] for phase, name in TOKEN_NAMES.items()},
        "token_passes": sum(FORWARD_PASSES[phase] * count for phase, count in tokens.items()),
        "seconds": round(float(rows["seconds"].sum()) / len(seeds), 3),
    }


def _has_trained(results: RunResults, label: str, seed: int, iteration: int) -> bool:
    trained = select(results.costs, objective=label, seed=seed, phase="train")
    return set(range(iteration + 1)) <= set(trained["iteration"])
