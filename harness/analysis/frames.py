"""pandas tables of a run: key columns, counts and seeds as integers, rows by the values of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

Frame = Any  # a pandas.DataFrame, whose own annotations call every column access an error
KEY_COLUMNS = ["objective", "seed", "iteration"]


def make_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Frame:
    """The rows as a table whose seeds are integers or missing: as pandas' floats they would be exact only up to 2^53."""
    table: Frame = pd.DataFrame(rows, columns=None if columns is None else list(columns))
    table["seed"] = pd.array([row["seed"] for row in rows], dtype="Int64")
    return table


def with_integers(table: Frame, *columns: str) -> Frame:
    """The table with these columns as integers or missing; those it lacks are passed over."""
    for column in columns:
        if column in table:
            table[column] = table[column].astype("Int64")
    return table


def select(table: Frame, **values: Any) -> Frame:
    """The rows whose columns have these values: None is a missing one, of a list any."""
    for column, value in values.items():
        cells = table[column]
        table = table[cells.isna() if value is None else cells.isin(value) if isinstance(value, list) else cells == value]
    return table
