"""Versions that a run's phases were made with: one row per library or part of the machine and version, with its phases."""

from __future__ import annotations

import pandas as pd

from harness.analysis.facts import RunResults
from harness.analysis.frames import Frame
from harness.store.provenance import NUMBERS_KEY
from harness.store.versions import covering_folders, versions_by_phase

COLUMNS = ["name", "version", "phases", "of", "where", "source"]
UNKNOWN_VERSION = ""  # of a library of which a phase has no record


def versions_table(results: RunResults) -> Frame:
    """phases: how many of the finished ones (`of`). where: the fewest folders that cover exactly these, "." for all."""
    phases = versions_by_phase(results.root)
    names = dict.fromkeys([NUMBERS_KEY, *(name for versions in phases.values() for name in versions)])
    rows = []
    for name in names:
        version_of = {folder: versions.get(name, UNKNOWN_VERSION) for folder, versions in phases.items()}
        for version in sorted(set(version_of.values())):
            folders = [folder for folder in phases if version_of[folder] == version]
            where = "." if len(folders) == len(phases) else " ".join(covering_folders(folders, phases))
            rows.append((name, version, len(folders), len(phases), where, "manifest.json"))
    return pd.DataFrame(rows, columns=COLUMNS)
