"""Total cost of every objective by phase: sums of cost.csv over seeds and iterations."""

from __future__ import annotations

import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame, select, with_integers

COLUMNS = ["objective", "phase", "phases", "tokens", "seconds", "peak_memory_gib", "source"]


def cost_totals(results: RunResults) -> Frame:
    """One row per variant and phase: number of phases, tokens (empty where none are counted), seconds, highest memory."""
    rows = []
    costs = results.costs
    for label in results.variants:
        for phase, phase_rows in select(costs, objective=label).groupby("phase", sort=False):
            tokens = phase_rows["tokens"].sum(min_count=1)
            memory = float(phase_rows["peak_memory_gib"].max())
            rows.append((label, phase, len(phase_rows), tokens, round(float(phase_rows["seconds"].sum()), 3), memory, "cost.csv"))
    return with_integers(pd.DataFrame(rows, columns=COLUMNS), "tokens")
