"""Total cost of every objective by phase: sums of cost.csv over seeds and iterations."""

from __future__ import annotations

import pandas as pd

from harness.analysis.facts import Frame, RunResults

COLUMNS = ["objective", "phase", "phases", "tokens", "seconds", "peak_memory_gib", "source"]


def cost_totals(results: RunResults) -> Frame:
    """One row per variant and phase: number of phases, tokens (empty where none are counted), seconds, highest memory."""
    rows = []
    costs = results.costs
    for label in results.variants:
        for phase, phase_rows in costs[costs["objective"] == label].groupby("phase", sort=False):
            tokens = phase_rows["tokens"].dropna()
            total = int(tokens.sum()) if len(tokens) else None
            memory = float(phase_rows["peak_memory_gib"].max())
            rows.append((label, phase, len(phase_rows), total, round(float(phase_rows["seconds"].sum()), 3), memory, "cost.csv"))
    table: Frame = pd.DataFrame(rows, columns=COLUMNS)
    table["tokens"] = table["tokens"].astype("Int64")
    return table
