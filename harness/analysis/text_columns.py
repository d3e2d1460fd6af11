"""Which columns of the csv files are text and must be read as text: `null`, `NA` and `1e5` are valid names."""

from __future__ import annotations

from pathlib import Path

from harness.security.escaping import Frame, read_csv_table

_CHECKPOINT = ("objective", "source")
_MEASURED = (*_CHECKPOINT, "name", "unit")
TEXT_COLUMNS = {
    "beside.csv": (*_MEASURED, "task", "over"),
    "chosen.csv": ("objective", "key", "label", "suite"),
    "collapse.csv": (*_CHECKPOINT, "finding", "evidence"),
    "comparisons.csv": ("panel", "question", "a", "b", "task", "over", "source"),
    "compute.csv": ("question", "a", "b", "source"),
    "cost.csv": (*_CHECKPOINT, "phase"),
    "cost_total.csv": (*_CHECKPOINT, "phase"),
    "drift.csv": _MEASURED,
    "dynamics.csv": _MEASURED,
    "first_ids.csv": (*_CHECKPOINT, "told_by"),
    "leaderboard.csv": _CHECKPOINT,  # its other columns are named after tasks, and are numbers
    "scores.csv": (*_CHECKPOINT, "task", "label", "metric", "filter", "task_version", "suite"),
    "stability.csv": (*_MEASURED, "over"),
    "standing.csv": ("panel", *_CHECKPOINT),
    "study.csv": (*_CHECKPOINT, "note"),
    "task_notes.csv": (*_CHECKPOINT, "task", "label", "note", "evidence"),
    "training.csv": ("objective",),
    "versions.csv": ("name", "version", "where", "source"),
}


def read_table(path: Path) -> Frame:
    """A csv file of a run. Raises what pandas does where it is missing (FileNotFoundError) or damaged (ValueError)."""
    return read_csv_table(path, TEXT_COLUMNS[path.name])
