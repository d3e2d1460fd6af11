"""Which columns of the csv files are text and must be read as text: `null`, `NA` and `1e5` are valid names."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.column_definitions import TABLE_FILES
from harness.security.escaping import Frame, read_csv_table

TEXT_COLUMNS = {table.file: table.text_columns for table in TABLE_FILES}


def read_table(path: Path) -> Frame:
    """A csv file of a run. Raises what pandas does where it is missing (FileNotFoundError) or damaged (ValueError)."""
    return read_csv_table(path, TEXT_COLUMNS[path.name])
