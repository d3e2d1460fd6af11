"""Which columns of the csv files are text, so that they are read as it: `null`, `NA` and `1e5` are names like any other."""

from __future__ import annotations

from pathlib import Path

from harness.security.escaping import Frame, from_csv

_PLAYER = ("objective", "source")
_MEASURED = (*_PLAYER, "name", "unit")
TEXT = {
    "beside.csv": (*_MEASURED, "task", "over"),
    "chosen.csv": ("objective", "key", "label", "suite"),
    "collapse.csv": (*_PLAYER, "finding", "evidence"),
    "comparisons.csv": ("panel", "question", "a", "b", "task", "over", "source"),
    "compute.csv": ("question", "a", "b", "source"),
    "cost.csv": (*_PLAYER, "phase"),
    "cost_total.csv": (*_PLAYER, "phase"),
    "drift.csv": _MEASURED,
    "dynamics.csv": _MEASURED,
    "first_ids.csv": (*_PLAYER, "told_by"),
    "leaderboard.csv": _PLAYER,  # its other columns may have a task's name, and are numbers
    "scores.csv": (*_PLAYER, "task", "label", "metric", "filter", "task_version", "suite"),
    "stability.csv": (*_MEASURED, "over"),
    "standing.csv": ("panel", *_PLAYER),
    "study.csv": (*_PLAYER, "note"),
    "training.csv": ("objective",),
    "versions.csv": ("name", "version", "where", "source"),
}


def read_table(path: Path) -> Frame:
    """A csv file of a run. Raises what pandas does where it is missing (FileNotFoundError) or damaged (ValueError)."""
    return from_csv(path, TEXT[path.name])
