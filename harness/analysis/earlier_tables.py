"""The committed tables of a run of before there were small files: all that is left of it here.

Measurements are read from scores.csv, training.csv, dynamics.csv and tables/cost.csv. What was computed from the items
(comparisons, the chance of being best, churn) cannot be computed again without them and is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.text_columns import read_table
from harness.errors import DamagedError, UserError

Frame = Any  # a pandas.DataFrame
STEPS_CSV = "training.csv"
MEASURED_TABLES = ("scores.csv", "training.csv", "dynamics.csv", "tables/cost.csv")
CHECKPOINT_COLUMNS = ["objective", "seed", "iteration"]
COST_COLUMNS = [
    *CHECKPOINT_COLUMNS,
    "phase",
    "tokens",
    "responses",
    "truncated",
    "shared",
    "step0",
    "seconds",
    "peak_memory_gib",
    "source",
]
DYNAMICS_COLUMNS = [*CHECKPOINT_COLUMNS, "name", "value", "stderr", "n", "unit", "source"]
STEP_COLUMNS = [*CHECKPOINT_COLUMNS, "step", "epoch", "loss", "grad_norm", "lr", "tokens", "seconds"]


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
                raise DamagedError(f"{path}: damaged ({' '.join(str(error).split())}); copy it again from its source") from None
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
        mean_churn = self._churn_by_seed.get((objective, seed))
        return {} if mean_churn is None else {"churn": mean_churn}

    @cached_property
    def _churn_by_seed(self) -> dict[tuple[str, int], float]:
        table = self.table("tables/stability.csv")
        if table is None:
            return {}
        rows = table[(table["name"] == "churn") & table["seed"].notna()]
        return {(o, int(s)): float(v) for o, s, v in zip(rows["objective"], rows["seed"], rows["value"], strict=True)}
