"""Who wins, and by how much: the last iteration of every objective, held against supervised fine-tuning and the start."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.frames import select
from harness.records import INITIAL
from harness.reporting.first_page.numbers import PanelNumbers, apart, capital
from harness.reporting.first_page.page import Sentence
from harness.reporting.tables.formatting import brackets, percent, points, with_interval

MAX_NAMED = 8  # objectives with numbers of their own in a sentence; the others are in the tables
AGGREGATES = {"mean": "mean", "normalised_mean": "normalised mean", "interquartile_mean": "interquartile mean"}


def who_wins(numbers: PanelNumbers) -> list[Sentence]:
    return [*few_seeds(numbers), *who_ends_highest(numbers), *orders(numbers)]


def who_ends_highest(numbers: PanelNumbers) -> list[Sentence]:
    """The highest mean at the last iteration, and who can be told apart from the baseline or, without one, from the leader."""
    leaders, last = numbers.leaders, numbers.tables.last
    row = numbers.rows[0]
    score = with_interval(row["last"], row["last_low"], row["last_high"], row["last_item_stderr"])
    start = numbers.tables.initial_scores()
    start_score = with_interval(start["mean"], error=start["item_stderr"])
    lead = (
        f"{numbers.listed(leaders)} {'has' if len(leaders) == 1 else 'have'} the highest mean at the last iteration ({last}), "
        f"{score} %; the start has {start_score} %."
    )
    found = [Sentence(lead, strong=not numbers.has_few_seeds)]
    if numbers.baseline is not None and len(numbers.labels) > 1:
        found.append(_against_baseline(numbers, numbers.baseline))
    elif len(numbers.labels) > 1:
        found += _behind_leader(numbers)
    return found


def few_seeds(numbers: PanelNumbers) -> list[Sentence]:
    """Below three seeds nothing is worded as a result."""
    seeds = numbers.tables.seeds
    if not numbers.has_few_seeds:
        return []
    few = "One seed is not a result" if seeds == 1 else f"{seeds} seeds are not a result"
    return [Sentence(f"{few}: how much training differs between seeds is in none of these errors.", strong=True)]


def _against_baseline(numbers: PanelNumbers, base: str) -> Sentence:
    above, below, name = numbers.above(base), numbers.below(base), numbers.names[base]
    unclear = [label for label in numbers.labels if label not in (base, *above, *below)]
    only_uncorrected = [label for label in unclear if _excludes_zero(numbers.pair(label, base))]
    unclear = [label for label in unclear if label not in only_uncorrected]
    first = f"{numbers.listed(above)} {_is(above)} shown above {name}" if above else f"no other objective is shown above {name}"
    parts = [first]
    if unclear:
        parts.append(f"{numbers.listed(unclear)} cannot be told apart from it")
    if only_uncorrected:
        parts.append(
            f"the intervals of {numbers.listed(only_uncorrected)} leave out 0, though not after correction for all pairs"
        )
    if below:
        parts.append(f"{numbers.listed(below)} {_is(below)} below it")
    scope = " on these items" if numbers.has_few_seeds else ""
    return Sentence(capital("; ".join(parts)) + f"{scope} (p < 0.05, Holm).", strong=not numbers.has_few_seeds)


def _is(labels: list[str]) -> str:
    return "is" if len(labels) == 1 else "are"


def _excludes_zero(pair: dict[str, Any] | None) -> bool:
    return pair is not None and not pd.isna(pair["low"]) and (pair["low"] > 0 or pair["high"] < 0)


def _behind_leader(numbers: PanelNumbers) -> list[Sentence]:
    leader = numbers.leaders[0]
    others = [label for label in numbers.labels if label not in numbers.leaders]
    behind = numbers.below(leader)
    unclear = [label for label in others if label not in behind]
    scope = " on these items" if numbers.has_few_seeds else ""
    found = []
    if behind:
        found.append(Sentence(f"It is ahead of {numbers.listed(behind)}{scope} (p < 0.05, Holm)."))
    if unclear:
        found.append(Sentence(f"{numbers.listed(unclear)} cannot be told apart from it (p ≥ 0.05, Holm)."))
    return found


def orders(numbers: PanelNumbers) -> list[Sentence]:
    """The last iteration under three aggregates side by side, and whether they agree on the order."""
    board = select(numbers.tables.leaderboard, iteration=numbers.tables.last).set_index("objective")
    columns = [name for name in AGGREGATES if name in board and not board.loc[numbers.labels, name].isna().any()]
    if len(columns) < 2 or len(numbers.tables.results.averaged_tasks) < 2:
        return []
    shown = numbers.labels[:MAX_NAMED]
    cells = [f"{numbers.names[label]} {', '.join(percent(board.loc[label, name]) for name in columns)}" for label in shown]
    more = f"; {len(numbers.labels) - len(shown)} more in leaderboard.csv" if len(numbers.labels) > len(shown) else ""
    text = f"{capital(', '.join(AGGREGATES[name] for name in columns))} in %: {'; '.join(cells)}{more}."
    order = {name: sorted(numbers.labels, key=lambda label: -board.loc[label, name]) for name in columns}
    others = [name for name in columns[1:] if order[name] != order[columns[0]]]
    if others and len(numbers.labels) > 1:
        for name in others:
            text += f" The {AGGREGATES[name]} has another order: {apart([numbers.names[label] for label in order[name]])}."
    elif len(numbers.labels) > 1:
        text += " All agree on the order."
    return [Sentence(text)]


def by_how_much(numbers: PanelNumbers) -> list[Sentence]:
    """The paired differences, each with its interval; and what these items and seeds could have shown at all."""
    over = " (95 % interval over items alone)" if numbers.has_few_seeds else " (95 % interval over items and seeds)"
    found = []
    reference = numbers.reference
    if len(numbers.labels) > 1:
        pairs = [(label, numbers.pair(label, reference)) for label in numbers.labels if label != reference]
        known = [(numbers.names[label], pair) for label, pair in pairs if pair is not None and not pd.isna(pair["difference"])]
        if known:
            cells = [f"{name} {_difference(pair)}" for name, pair in known[:MAX_NAMED]]
            more = f"; {len(known) - MAX_NAMED} more in comparisons.csv" if len(known) > MAX_NAMED else ""
            found.append(Sentence(f"Points against {numbers.names[reference]}{over}: {'; '.join(cells)}{more}."))
            over = ""
    gains = [(label, numbers.pair(label, INITIAL)) for label in dict.fromkeys([numbers.leaders[0], reference])]
    gain_cells = [f"{numbers.names[label]} {_difference(pair)}" for label, pair in gains if pair is not None]
    if gain_cells:
        found.append(Sentence(f"Points against the start{over}: {'; '.join(gain_cells)}."))
    return [*found, *smallest_difference(numbers)]


def _difference(pair: dict[str, Any]) -> str:
    return points(pair["difference"]) + brackets(pair["low"], pair["high"], points)


def smallest_difference(numbers: PanelNumbers) -> list[Sentence]:
    """Half the width of the paired intervals: a smaller difference could not have been seen."""
    widths = {}
    for label in numbers.labels:
        pair = numbers.pair(label, numbers.reference)
        if label != numbers.reference and pair is not None and not pd.isna(pair["low"]):
            widths[label] = 50 * (pair["high"] - pair["low"])
    if not widths:
        return []
    least, most = min(widths, key=lambda label: widths[label]), max(widths, key=lambda label: widths[label])
    what = "items" if numbers.has_few_seeds else f"items and {numbers.tables.seeds} seeds"
    if least == most:
        return [Sentence(f"The smallest difference that these {what} can show is about {widths[least]:.1f} points.")]
    return [
        Sentence(
            f"The smallest difference that these {what} can show is about {widths[least]:.1f} points for {numbers.names[least]}, "
            f"{widths[most]:.1f} for {numbers.names[most]} (half the width of the intervals)."
        )
    ]
