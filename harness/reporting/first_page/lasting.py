"""Does it last: the last iteration against the best one, the worst falls of single seeds, and collapse."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from harness.analysis.frames import Frame, select
from harness.reporting.display_text import display_text
from harness.reporting.first_page.numbers import MAX_LISTED, PanelNumbers, capital, counted
from harness.reporting.first_page.page import Sentence
from harness.reporting.tables.formatting import brackets, points
from harness.reporting.tables.reading import Tables

MAX_NEGLIGIBLE_LOSS = 0.01  # one point: a larger loss is worth a sentence
MAX_NAMED = 5  # findings of a kind; more are counted
MAX_KINDS_WITH_EVIDENCE = 4  # more would leave no room for the figure
MIN_FALL = 0.01  # falls below one point of every objective are said in one number


def does_it_last(numbers: PanelNumbers) -> list[Sentence]:
    return [*since_best(numbers), *worst_falls(numbers), *still_rising(numbers)]


def since_best(numbers: PanelNumbers) -> list[Sentence]:
    """The last iteration against the objective's best earlier one: lower, kept to within a point, or not known.

    Lower where the whole interval is below 0, kept where none of it is below one point lost. The interval is valid for all
    earlier iterations at once, from which the best was selected. A best iteration that is the last one has lost nothing.
    """
    lower, kept, unknown = [], [], []
    for row in numbers.rows:
        if pd.isna(row.get("since_best_low", math.nan)):
            continue
        low, high = row["since_best_low"], row["since_best_high"]
        kind = lower if high < 0 else kept if low > -MAX_NEGLIGIBLE_LOSS else unknown
        kind.append(f"{numbers.names[row['objective']]} {points(row['since_best'])}{brackets(low, high, points)}")
    over = "items alone" if numbers.has_few_seeds else "items and seeds"
    found = []
    if lower:
        found.append(Sentence(f"Lower at the last iteration than at the best one (95 % over {over}): {'; '.join(lower)}."))
    if kept:
        found.append(Sentence(f"At most a point below the best iteration at the last one (95 % over {over}): {'; '.join(kept)}."))
    if unknown:
        found.append(
            Sentence(f"Not known whether anything was lost since the best one (95 % over {over}): {'; '.join(unknown)}.")
        )
    return found


def worst_falls(numbers: PanelNumbers) -> list[Sentence]:
    """The largest loss of a single seed from one iteration to the next, with its seed."""
    if numbers.tables.last == 0:
        return []
    falls = select(numbers.tables.stability, name="largest_fall", objective=numbers.labels).dropna(subset=["seed", "value"])
    worst: list[tuple[float, int, str]] = []
    for label, rows in falls.groupby("objective", sort=False):
        row = rows.loc[rows["value"].idxmax()]
        worst.append((float(row["value"]), int(row["seed"]), str(label)))
    worst.sort(key=lambda fall: -fall[0])
    if not worst:
        return []
    large = [fall for fall in worst if fall[0] >= MIN_FALL]
    show_seed = numbers.tables.seeds > 1
    cells = [
        f"{numbers.names[label]} {100 * value:.1f}" + (f" (seed {seed})" if show_seed else "")
        for value, seed, label in large[:MAX_LISTED]
    ]
    if len(large) > MAX_LISTED:
        cells.append(f"{len(large) - MAX_LISTED} more in stability.csv")
    small = [label for value, _, label in worst if value < MIN_FALL]
    if small:
        cells.append(f"{numbers.listed(small)} below {100 * MIN_FALL:.0f}")
    of = "of a seed " if show_seed else ""
    return [Sentence(f"Largest fall {of}from one iteration to the next, in points: {'; '.join(cells)}.")]


def still_rising(numbers: PanelNumbers) -> list[Sentence]:
    rising = [row["objective"] for row in numbers.rows if row["best_iteration"] == numbers.tables.last]
    if not rising or numbers.tables.last == 0:
        return []
    verb = "is" if len(rising) == 1 else "are"
    return [Sentence(f"{numbers.listed(rising)} {verb} highest at the last iteration: where the rise ends is not known.")]


def collapse(tables: Tables, names: dict[str, str]) -> list[Sentence]:
    """One sentence per kind of finding: up to MAX_NAMED of a kind are named one by one, of more the first of each objective and
    how many there are."""
    findings = select(tables.read("tables/collapse.csv"), objective=tables.results.variants)
    if findings.empty:
        return [Sentence("The collapse detector found nothing.")]
    kinds = list(findings.groupby("finding", sort=False))
    with_evidence = len(kinds) <= MAX_KINDS_WITH_EVIDENCE
    return [
        Sentence(f"{capital(str(kind))}: {_cases(rows, names, tables.seeds, with_evidence)}.", alarm=True) for kind, rows in kinds
    ]


def _cases(rows: Frame, names: dict[str, str], seeds: int, with_evidence: bool) -> str:
    if len(rows) <= MAX_NAMED:
        return "; ".join(f"{names[row['objective']]}, {_where(row, seeds)}: {_evidence(row)}" for row in rows.to_dict("records"))
    groups = list(rows.groupby("objective", sort=False))
    cases = []
    for label, of_objective in groups[:MAX_NAMED]:
        in_seeds = f" in {of_objective['seed'].nunique()} of {seeds} seeds" if seeds > 1 else ""
        cases.append(f"{names[str(label)]} {len(of_objective)}{in_seeds}, from iteration {int(of_objective['iteration'].min())}")
    left = sum(len(of_objective) for _, of_objective in groups[MAX_NAMED:])
    if left:
        cases.append(f"and {left} more of {counted(len(groups) - MAX_NAMED, 'other objective')}")
    first = f"; the first: {_evidence(rows.iloc[0].to_dict())}" if with_evidence else ""
    return "; ".join(cases) + first


def _where(row: dict[Any, Any], seeds: int) -> str:
    return f"iteration {int(row['iteration'])}" + (f", seed {int(row['seed'])}" if seeds > 1 else "")


def _evidence(row: dict[Any, Any]) -> str:
    return display_text(row["evidence"])
