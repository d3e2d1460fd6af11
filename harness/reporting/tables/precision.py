"""How many digits an estimate has: six more than are printed, without the rounding of sums.

Tables, figures, report and Python are given the same numbers, so that one on the border of two decimals is printed alike in all.

Measurements (scores.csv, training.csv, dynamics.csv, the tables of cost) are written in full precision.
"""

from __future__ import annotations

from harness.analysis.frames import Frame

SIGNIFICANT_DIGITS = 10
ROUNDING = 1e-15  # a difference of shares that is no larger is 0; a p may be any size
MEASUREMENTS = ("scores.csv", "training.csv", "dynamics.csv", "tables/cost.csv", "tables/cost_total.csv", "tables/compute.csv")


def as_written(name: str, table: Frame) -> Frame:
    """The table as its csv file has it. name: of the file, in the run folder."""
    if name in MEASUREMENTS:
        return table
    floats = [column for column in table if table[column].dtype.kind == "f"]
    table = table.copy()
    for column in floats:
        table[column] = table[column].map(_to_digits if _is_p(column) else rounded).astype(float)
    return table


def _is_p(column: str) -> bool:
    """p, p_holm, since_best_p, mcnemar_p_holm."""
    return "p" in str(column).split("_")


def _to_digits(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def rounded(value: float) -> float:
    """An estimate as it is written; NaN stays."""
    return 0.0 if abs(value) <= ROUNDING else _to_digits(value)
