"""The tables of a run that was committed before there were small files: all that is kept of it here.

What was measured stands in scores.csv, training.csv, dynamics.csv and tables/cost.csv and is read from there. What was computed
from the items (comparisons, the chance of being best, churn) cannot be computed again without them: it is kept as it stands.
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
MEASURED = ("scores.csv", "training.csv", "dynamics.csv", "tables/cost.csv")
PLAYER = ["objective", "seed", "iteration"]
COSTS = [*PLAYER, "phase", "tokens", "responses", "truncated", "shared", "step0", "seconds", "peak_memory_gib", "source"]
DYNAMICS = [*PLAYER, "name", "value", "stderr", "n", "unit", "source"]
STEPS = [*PLAYER, "step", "epoch", "loss", "grad_norm", "lr", "tokens", "seconds"]


class Earlier:
    """The committed tables of the run folder `root`, each read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, Frame | None] = {}

    def table(self, name: str) -> Frame | None:
        """A committed table; None where there is none. Raises DamagedError for one that cannot be read."""
        if name not in self._read:
            path = self.root / name
            try:
                self._read[name] = read_table(path) if path.is_file() else None
            except (ValueError, UnicodeDecodeError) as error:
                raise DamagedError(
                    f"{path}: damaged ({' '.join(str(error).split())}); take it again from where it was kept"
                ) from None
        found = self._read[name]
        return None if found is None else found.copy()

    def scores(self, suite: Mapping[str, Any]) -> Frame:
        """The rows of scores.csv that are of this suite. Raises UserError where there is no scores.csv: then nothing is kept."""
        found = self.table("scores.csv")
        if found is None:
            raise UserError(
                f"{self.root}: holds no phase, no small files and no scores.csv, so there is nothing to make tables of; play it "
                "with: harness run"
            )
        if "clusters" not in found:  # written before items could be clusters
            found["clusters"] = pd.array([pd.NA] * len(found), dtype="Int64")
        return found[found["suite"] == f"{suite['name']} v{suite['version']}"].reset_index(drop=True)

    def training(self) -> Frame:
        return self._or_empty(STEPS_CSV, STEPS)

    def dynamics(self) -> Frame:
        return self._or_empty("dynamics.csv", DYNAMICS)

    def costs(self) -> Frame:
        return self._or_empty("tables/cost.csv", COSTS)

    def _or_empty(self, name: str, columns: list[str]) -> Frame:
        found = self.table(name)
        return pd.DataFrame(columns=columns).astype({"seed": "Int64"}) if found is None else found

    def churn(self, objective: str, seed: int) -> dict[str, float]:
        """A seed's mean churn as it was computed when the run was played."""
        mine = self._churn.get((objective, seed))
        return {} if mine is None else {"churn": mine}

    @cached_property
    def _churn(self) -> dict[tuple[str, int], float]:
        found = self.table("tables/stability.csv")
        if found is None:
            return {}
        rows = found[(found["name"] == "churn") & found["seed"].notna()]
        return {(o, int(s)): float(v) for o, s, v in zip(rows["objective"], rows["seed"], rows["value"], strict=True)}
