"""Numbers from papers beside measured ones, always with their source and whether the suite is the same."""

from __future__ import annotations

import pandas as pd

from harness.errors import UserError, error_line
from harness.reporting.display_text import display_text
from harness.reporting.report.blocks import Block, section, table, text
from harness.reporting.tables.reading import Tables

FOLDER = "published"
SAME, SOURCE, WHERE, PAGE, STATUS = "same_suite", "source", "table", "page", "status"


def published_section(tables: Tables) -> Block | None:
    """The tables that the suite names as its paper's; None for a suite that names none."""
    names = tables.results.suite.get("published") or []
    return section("Published numbers", *(published_table(tables, name) for name in names)) if names else None


def published_table(tables: Tables, name: str) -> Block | None:
    """One file of results/published; a sentence where there is none. Raises UserError for a file without its source."""
    above = list(tables.results.root.resolve().parents)[:2]  # results/, or a folder of runs in it
    path = next((path for folder in above if (path := folder / FOLDER / f"{name}.csv").is_file()), None)
    if path is None:
        return text(f"No published numbers beside these: the results folder has no {FOLDER}/{name}.csv.")
    try:
        published = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a csv file ({error_line(error)})") from error
    missing = [column for column in (SAME, SOURCE, WHERE, PAGE, STATUS) if column not in published]
    if missing:
        raise UserError(f"{path}: has no column {missing[0]!r}; a published number names its source, its table and its suite")
    shown_columns = [c for c in published if c not in (SAME, SOURCE, WHERE, PAGE, STATUS)]
    rows = [[display_text(value) for value in row] for row in published[shown_columns].to_numpy().tolist()]
    places = zip(published[SOURCE], published[WHERE], published[PAGE], strict=True)
    sources = "; ".join(dict.fromkeys(display_text(f"{source}, {where}, page {page}") for source, where, page in places))
    remarks = "; ".join(display_text(v) for v in dict.fromkeys(published[STATUS]) if v)
    same_suite = display_text(", ".join(dict.fromkeys(published[SAME])))
    caption = f"Published, not measured here. Same suite? {same_suite}. Source: {sources}.{f' {remarks}.' if remarks else ''}"
    return table(shown_columns, rows, f"{caption} File: {FOLDER}/{name}.csv.", size=7)
