"""How many digits of an estimate are written: six more than are printed, without the rounding of sums.

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
        table[column] = table[column].map(_round_p if _is_p(column) else _round).astype(float)
    return table


def _is_p(column: str) -> bool:
    """p, p_holm, since_best_p, mcnemar_p_holm."""
    return "p" in str(column).split("_")


def _round_p(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _round(value: float) -> float:
    return 0.0 if abs(value) <= ROUNDING else _round_p(value)
