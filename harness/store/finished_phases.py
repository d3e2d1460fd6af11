"""The finished phases of a run, wherever they are stored: in their folders, or in the small files of the run.

A trial whose folder is there is read from it alone, but for phases that `harness prune` took out of it. For a trial without one
(deleted to make room, or never on this machine) the small file is read. What all trials share is read phase by phase in the same
way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError, OtherFormatError, UserError
from harness.files import MANIFEST, read_json
from harness.store import small_files
from harness.store.verification import read_manifest, read_verified

Manifest = Mapping[str, Any]


def failed_cells(root: Path) -> dict[str, str]:
    """Trials that failed at the run's last command, with their error in one line. Raises DamagedError."""
    path = root / "failed.json"
    errors = read_json(path) if path.is_file() else {}
    if not isinstance(errors, dict) or not all(isinstance(error, str) for error in errors.values()):
        raise DamagedError(f"{path}: damaged (no list of failed trials); repeat the run's command, which writes it anew")
    return errors


class FinishedPhases:
    """The finished phases of the run folder `root`; small files are read once. ignore_damaged: a damaged one counts as none,
    for a command that is going to set it aside."""

    def __init__(self, root: Path, ignore_damaged: bool = False) -> None:
        self.root, self.ignore_damaged = root, ignore_damaged
        self._small_files: dict[str, small_files.PhaseSummaries] = {}
        self._folder_exists: dict[str, bool] = {}
        self._pruned: dict[str, frozenset[str]] = {}

    def manifest(self, phase: str) -> dict[str, Any] | None:
        """A finished phase's manifest; None when it is not finished. Raises DamagedError when it is not what was written."""
        folder = self.root / phase
        if (folder / MANIFEST).is_file():
            return read_manifest(folder)
        summary = self.from_small_file(phase).get(phase)
        return summary.manifest if summary else None

    def is_finished(self, phase: str) -> bool:
        """Whether a phase is finished; its manifest is not read."""
        return (self.root / phase / MANIFEST).is_file() or phase in self.from_small_file(phase)

    def text(self, phase: str, manifest: Manifest, name: str) -> str:
        """A file of a finished phase, as far as the views read it. Raises DamagedError when it is not what was committed."""
        folder = self.root / phase
        if (folder / MANIFEST).is_file():
            return read_verified(folder, manifest, name)
        try:
            return self.from_small_file(phase)[phase].files[name]
        except KeyError:
            path = small_files.small_file_path(self.root, small_files.unit_of(phase))
            raise UserError(f"{path}: does not hold {phase}/{name}; bring that folder from the machine that made it") from None

    def derived(self, phase: str, manifest: Manifest) -> dict[str, str]:
        """What small files keep of an evaluation's samples (item_answers.py), by name; nothing where that was not kept."""
        if (self.root / phase / MANIFEST).is_file():
            return small_files.read_derived(self.root, phase, manifest)
        return {
            name: text for name, text in self.from_small_file(phase)[phase].files.items() if name in small_files.DERIVED_FILES
        }

    def from_small_file(self, phase: str) -> small_files.PhaseSummaries:
        """The phases of the small file, where there is no folder, which counts first; {} where there is."""
        unit = small_files.unit_of(phase)
        if self.has_folder(phase):
            return {}
        if unit not in self._small_files:
            try:
                self._small_files[unit] = small_files.read_small_file(self.root, unit)
            except (DamagedError, OtherFormatError):
                if not self.ignore_damaged:
                    raise
                self._small_files[unit] = {}
        return self._small_files[unit]

    def has_folder(self, phase: str) -> bool:
        """Whether a phase, or a trial, is read from folders; a phase that was pruned is not, whatever else of it is there."""
        unit = small_files.unit_of(phase)
        if phase != unit and unit != small_files.SHARED_UNIT and phase in self.pruned_phases(unit):
            return False
        folder = phase if small_files.unit_of(phase) == small_files.SHARED_UNIT else small_files.unit_of(phase)
        if folder not in self._folder_exists:
            self._folder_exists[folder] = small_files.has_files(self.root / folder)
        return self._folder_exists[folder]

    def pruned_phases(self, trial: str) -> list[str]:
        """Phases of a trial that were deleted on purpose while its adapters stayed: they are read from its small file."""
        if trial not in self._pruned:
            gone = [phase for phase in small_files.pruned_phases(self.root, trial) if not (self.root / phase).exists()]
            self._pruned[trial] = frozenset(gone)
        return sorted(self._pruned[trial])

    def only_small_file(self, trial: str) -> bool:
        """Whether a trial has its small file here and not its folder."""
        exists = not self.has_folder(trial) and small_files.small_file_path(self.root, trial).exists()
        return exists and not (self.ignore_damaged and not self.from_small_file(trial))

    def phases(self) -> list[str]:
        """Every finished phase of the run, in an order that does not depend on where it is stored."""
        names = set(small_files.phase_folders(self.root))
        for unit in small_files.units(self.root):
            if unit == small_files.SHARED_UNIT:
                names.update(phase for phase in small_files.read_small_file(self.root, unit) if not self.has_folder(phase))
            else:
                names.update(self.from_small_file(unit))
                names.update(phase for phase in self.pruned_phases(unit) if phase in self.from_small_file(phase))
        return sorted(names, key=lambda phase: phase.split("/"))

    def is_empty(self) -> bool:
        """Whether the run has neither a finished phase's folder nor a small file."""
        return not small_files.units(self.root) and next(self.root.rglob(MANIFEST), None) is None
