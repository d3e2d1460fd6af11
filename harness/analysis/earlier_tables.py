"""The committed tables of a run of before there were small files: all that is left of it here.

Measurements are read from scores.csv, training.csv, dynamics.csv and tables/cost.csv. What was computed from the items
(comparisons, the chance of being best, churn) cannot be computed again without them and is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.frames import KEY_COLUMNS, Frame, select
from harness.analysis.text_columns import read_table
from harness.errors import DamagedError, UserError, error_line

STEPS_CSV = "training.csv"
MEASURED_TABLES = ("scores.csv", "training.csv", "dynamics.csv", "tables/cost.csv")
COST_COLUMNS = [*KEY_COLUMNS, "phase", "tokens", "responses", "truncated", "shared", "step0", "seconds", "peak_memory_gib",
                "source"]  # fmt: skip
DYNAMICS_COLUMNS = [*KEY_COLUMNS, "name", "value", "stderr", "n", "unit", "source"]
STEP_COLUMNS = [*KEY_COLUMNS, "step", "epoch", "loss", "grad_norm", "lr", "tokens", "seconds"]


class EarlierTables:
    """The committed tables of the run folder `root`, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._cache: dict[str, Frame | None] = {}

    def table(self, name: str) -> Frame | None:
        """A committed table; None where there is none. Raises DamagedError for one that cannot be read."""
        if name not in self._cache:
            path = self.root / name
            try:
                self._cache[name] = read_table(path) if path.is_file() else None
            except (ValueError, UnicodeDecodeError) as error:
                raise DamagedError(f"{path}: damaged ({error_line(error)}); copy it again from its source") from None
        table = self._cache[name]
        return None if table is None else table.copy()

    def scores(self, suite: Mapping[str, Any]) -> Frame:
        """The rows of scores.csv that are of this suite. Raises UserError where there is no scores.csv: then nothing is left."""
        table = self.table("scores.csv")
        if table is None:
            raise UserError(
                f"{self.root}: holds no phase, no small files and no scores.csv, so there is nothing to make tables of; run it "
                "with: harness run"
            )
        if "clusters" not in table:  # a table of before clusters were recorded
            table["clusters"] = pd.array([pd.NA] * len(table), dtype="Int64")
        return table[table["suite"] == f"{suite['name']} v{suite['version']}"].reset_index(drop=True)

    def training(self) -> Frame:
        return self._table_or_empty(STEPS_CSV, STEP_COLUMNS)

    def dynamics(self) -> Frame:
        return self._table_or_empty("dynamics.csv", DYNAMICS_COLUMNS)

    def costs(self) -> Frame:
        return self._table_or_empty("tables/cost.csv", COST_COLUMNS)

    def _table_or_empty(self, name: str, columns: list[str]) -> Frame:
        table = self.table(name)
        return pd.DataFrame(columns=columns).astype({"seed": "Int64"}) if table is None else table

    def churn(self, objective: str, seed: int) -> dict[str, float]:
        """A seed's mean churn as it was computed when the run was made."""
        table = self.table("tables/stability.csv")
        values = [] if table is None else select(table, name="churn", objective=objective, seed=seed)["value"].tolist()
        return {"churn": float(values[0])} if values else {}
