"""The finding in one line, by rule from the tables: the title of the report."""

from __future__ import annotations

import pandas as pd

from harness.records import INITIAL
from harness.reporting.display_text import display_text
from harness.reporting.first_page.numbers import PanelNumbers, capital, counted, in_words
from harness.reporting.first_page.question import contrasts, is_told_apart
from harness.reporting.tables.reading import Tables

MAX_NAMED = 3  # objectives in a title; more are counted


def finding(tables: Tables, numbers: PanelNumbers) -> str:
    """Of a study with comparisons or a grid, what they say; else where the objectives end and which of them collapse."""
    if tables.results.study.get("grid"):
        return _grid_finding(tables)
    if rows := contrasts(tables):
        higher = sum(is_told_apart(row) and row["difference"] > 0 for row in rows)
        lower = sum(is_told_apart(row) and row["difference"] < 0 for row in rows)
        parts = [f"{in_words(count)} {word}" for count, word in ((higher, "higher"), (lower, "lower")) if count]
        parts += [f"{in_words(len(rows) - higher - lower)} not told apart"] if len(rows) > higher + lower else []
        return f"{display_text(tables.results.study['title'])}: of {counted(len(rows), 'comparison')} {', '.join(parts)}"
    if not tables.results.averaged_tasks:
        return f"{capital(counted(len(tables.results.variants), 'objective'))}, every task by itself"
    if not numbers.rows:
        return "Not finished: no objective has been evaluated on every task at the last iteration"
    end = _end(numbers)
    collapsed = numbers.collapsed()
    if collapsed:
        end += f"; {_named(numbers, collapsed)} {'collapses' if len(collapsed) == 1 else 'collapse'}"
    if numbers.has_few_seeds:
        return f"{capital(counted(tables.seeds, 'seed'))}, not yet a result: {end}"
    return capital(end)


def _end(numbers: PanelNumbers) -> str:
    if len(numbers.labels) == 1:
        return _gain(numbers)
    return _against_leader(numbers) if numbers.baseline is None else _against_baseline(numbers, numbers.baseline)


def _against_baseline(numbers: PanelNumbers, base: str) -> str:
    others, above, name = [label for label in numbers.labels if label != base], numbers.above(base), numbers.names[base]
    scope = " on these items" if numbers.has_few_seeds else ""
    if above:
        return f"{_named(numbers, above)} {'is' if len(above) == 1 else 'are'} shown above {name}{scope}"
    if len(others) == 1:
        return f"{numbers.names[others[0]]} is not shown above {name}{scope}"
    return f"none of {counted(len(others), numbers.kind_of(others))} is shown above {name}{scope}"


def _against_leader(numbers: PanelNumbers) -> str:
    leader, behind = numbers.leaders[0], numbers.below(numbers.leaders[0])
    others = [label for label in numbers.labels if label != leader]
    if len(behind) < len(others):
        unclear = [leader, *(label for label in others if label not in behind)]
        return f"{_named(numbers, unclear)} cannot be told apart at the last iteration"
    if len(others) == 1:
        return f"{numbers.names[leader]} ends above {numbers.names[others[0]]}"
    return f"{numbers.names[leader]} ends highest of {counted(len(numbers.labels), 'objective')}"


def _gain(numbers: PanelNumbers) -> str:
    label = numbers.labels[0]
    pair, name = numbers.pair(label, INITIAL), numbers.names[label]
    if pair is None or pd.isna(pair["low"]):
        return f"{name} ends at {100 * numbers.rows[0]['last']:.1f} %"
    if pair["low"] <= 0 <= pair["high"]:
        return f"{name} is not shown to differ from its start"
    word = "gains" if pair["difference"] > 0 else "loses"
    return f"{name} {word} {abs(100 * pair['difference']):.1f} points on its start"


def _named(numbers: PanelNumbers, labels: list[str]) -> str:
    if len(labels) <= MAX_NAMED:
        return numbers.listed(labels)
    return f"{counted(len(labels), 'objective')}"


def _grid_finding(tables: Tables) -> str:
    chosen = tables.optional("tables/chosen.csv")
    key = str(tables.results.study["grid"]["key"]).removeprefix("training.")
    picked = chosen[chosen["chosen"].astype(bool)] if chosen is not None else None
    if picked is None or picked.empty:
        return f"{display_text(tables.results.study['title'])}: not finished"
    groups = picked.groupby("value")["objective"].nunique()
    parts = [f"{value:g} for {counted(int(count), 'objective')}" for value, count in groups.items()]
    return f"Best {key} on validation items: {', '.join(parts)}"
