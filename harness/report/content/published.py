"""Numbers from papers beside measured ones, always with their source and whether the suite is the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from harness.errors import UserError
from harness.report.blocks import Block, section, table, visible
from harness.report.content.tables import Tables

FOLDER = "published"
SAME, SOURCE, WHERE = "same_suite", "source", "table"


def published_section(tables: Tables) -> Block | None:
    """The tables that the suite names as its paper's; nothing for a suite that is no paper's."""
    names = tables.facts.suite.get("published") or []
    return section("Published numbers", *(published_table(tables, name) for name in names)) if names else None


def published_table(tables: Tables, name: str) -> Block | None:
    """One file of results/published; None where the results folder has none (it is kept in the project's checkout).

    Raises UserError for a file without its source.
    """
    path = Path(tables.facts.root).parent / FOLDER / f"{name}.csv"
    if not path.is_file():
        return None
    read = pd.read_csv(path, dtype=str, keep_default_na=False)
    missing = [column for column in (SAME, SOURCE, WHERE) if column not in read]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r}; a published number names its source, its table and its suite")
    shown = [c for c in read if c not in (SAME, SOURCE, WHERE, "status", "note")]
    rows = [[visible(value) for value in row] for row in read[shown].to_numpy().tolist()]
    sources = "; ".join(dict.fromkeys(visible(f"{s}, {w}") for s, w in zip(read[SOURCE], read[WHERE], strict=True)))
    remarks = [visible(v) for v in dict.fromkeys(read.get("status", pd.Series(dtype=str))) if v]
    same = ", ".join(dict.fromkeys(read[SAME]))
    caption = (
        f"Published, not measured here. Same suite? {same}. Source: {sources}.{' ' + '; '.join(remarks) + '.' if remarks else ''}"
    )
    return table(shown, rows, f"{caption} File: {FOLDER}/{name}.csv.", size=7)
