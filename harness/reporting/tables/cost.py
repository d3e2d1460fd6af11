"""What every objective cost in all, phase by phase: sums of cost.csv over seeds and iterations."""

from __future__ import annotations

import pandas as pd

from harness.analysis.facts import Facts, Frame

COLUMNS = ["objective", "phase", "phases", "tokens", "seconds", "peak_memory_gib", "source"]


def cost_totals(facts: Facts) -> Frame:
    """One row per variant and phase: how many were summed, tokens (empty where none are counted), seconds, highest memory."""
    rows = []
    costs = facts.costs
    for label in facts.variants:
        for phase, mine in costs[costs["objective"] == label].groupby("phase", sort=False):
            tokens = mine["tokens"].dropna()
            total = int(tokens.sum()) if len(tokens) else None
            memory = float(mine["peak_memory_gib"].max())
            rows.append((label, phase, len(mine), total, round(float(mine["seconds"].sum()), 3), memory, "cost.csv"))
    table: Frame = pd.DataFrame(rows, columns=COLUMNS)
    table["tokens"] = table["tokens"].astype("Int64")
    return table
