"""What a run's phases were made with: one row per library or part of the machine and version, with its phases."""

from __future__ import annotations

import pandas as pd

from harness.analysis.facts import Facts, Frame
from harness.store.provenance import NUMBERS_KEY
from harness.store.versions import folders, phases_made_with

COLUMNS = ["name", "version", "phases", "of", "where", "source"]
NOT_RECORDED = ""


def versions_table(facts: Facts) -> Frame:
    """phases: how many of the run's finished ones (`of`). where: the fewest folders that hold exactly these, "." for all of them.

    A phase that did not record a name has an empty version of it.
    """
    phases = phases_made_with(facts.root)
    names = dict.fromkeys([NUMBERS_KEY, *(name for made in phases.values() for name in made)])
    rows = []
    for name in names:
        made: dict[str, list[str]] = {}
        for folder, versions in phases.items():
            made.setdefault(versions.get(name, NOT_RECORDED), []).append(folder)
        for version in sorted(made):
            mine = made[version]
            where = "." if len(mine) == len(phases) else " ".join(folders(mine, phases))
            rows.append((name, version, len(mine), len(phases), where, "manifest.json"))
    return pd.DataFrame(rows, columns=COLUMNS)
