"""At what price: tokens trained and drawn, which are comparable between machines; seconds are not."""

from __future__ import annotations

import pandas as pd

from harness.analysis.frames import select
from harness.reporting.first_page.numbers import PanelNumbers, apart
from harness.reporting.first_page.page import Sentence

MAX_NAMED = 8


def at_what_price(numbers: PanelNumbers) -> list[Sentence]:
    """Tokens trained per seed, as multiples of supervised fine-tuning's where it was played; tokens drawn in thousands."""
    trained, drawn = _tokens(numbers, "train"), _tokens(numbers, "generate")
    if not trained:
        return []
    base = numbers.baseline
    others = [label for label in numbers.labels if label in trained and label != base]
    if base in trained and others and base is not None:
        cells = [f"{numbers.names[label]} {trained[label] / trained[base]:.1f}" for label in others[:MAX_NAMED]]
        text = (
            f"Tokens trained, as multiples of {numbers.names[base]}'s {trained[base] / 1000:,.0f} thousand a seed: "
            f"{apart(cells)}{_more(others)}."
        )
    else:
        cells = [f"{numbers.names[label]} {trained[label] / 1000:,.0f}" for label in list(trained)[:MAX_NAMED]]
        text = f"Thousands of tokens trained a seed: {apart(cells)}{_more(list(trained))}."
    found = [Sentence(text)]
    if drawn:
        low, high = (f"{value / 1000:,.0f}" for value in (min(drawn.values()), max(drawn.values())))
        amount = low if low == high else f"{low} to {high}"
        found.append(
            Sentence(f"Self-play also draws {amount} thousand tokens a seed. Seconds depend on the machine: cost_total.csv.")
        )
    return found


def _tokens(numbers: PanelNumbers, phase: str) -> dict[str, float]:
    """Label -> tokens of a phase over all iterations, mean over the seeds that have all of them."""
    costs = select(numbers.tables.read("tables/cost.csv"), phase=phase, objective=numbers.labels).dropna(subset="tokens")
    sums = costs.groupby(["objective", "seed"], sort=False)["tokens"].sum().groupby("objective", sort=False).mean()
    return {label: float(sums[label]) for label in numbers.labels if label in sums and not pd.isna(sums[label])}


def _more(labels: list[str]) -> str:
    return f" and {len(labels) - MAX_NAMED} more in cost_total.csv" if len(labels) > MAX_NAMED else ""
