"""The finished phases of a run, wherever they are kept: in their folders, or in the small files of the run.

A cell whose folder is there is read from it alone. Of a cell without one (deleted to make room, or never on this machine) the
small file is read. What all cells share is read phase by phase in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError, OtherFormatError, UserError
from harness.files import MANIFEST, read_json
from harness.store.small_files import SHARED, Unit, has_files, path_of, phase_folders, read, unit_of, units
from harness.store.verification import intact, read_manifest

Manifest = Mapping[str, Any]


def failed_cells(root: Path) -> dict[str, str]:
    """Cells that failed when the run was last played, with their error in one line. Raises DamagedError."""
    path = root / "failed.json"
    said = read_json(path) if path.is_file() else {}
    if not isinstance(said, dict) or not all(isinstance(error, str) for error in said.values()):
        raise DamagedError(f"{path}: damaged (no list of failed cells); repeat the run's command, which writes it anew")
    return said


class Played:
    """What is finished in the run folder `root`; small files are read once. forgiving: a damaged one counts as none, for a
    command that is going to set it aside.
    """

    def __init__(self, root: Path, forgiving: bool = False) -> None:
        self.root, self.forgiving = root, forgiving
        self._kept: dict[str, Unit] = {}
        self._folders: dict[str, bool] = {}

    def manifest(self, phase: str) -> dict[str, Any] | None:
        """A finished phase's manifest; None when it is not finished. Raises DamagedError when it is not what was written."""
        folder = self.root / phase
        if (folder / MANIFEST).is_file():
            fields = read_json(folder / MANIFEST)
            read_manifest(folder, fields)
            return fields
        kept = self.kept(phase).get(phase)
        return kept.manifest if kept else None

    def finished(self, phase: str) -> bool:
        """Whether a phase is finished; its manifest is not read."""
        return (self.root / phase / MANIFEST).is_file() or phase in self.kept(phase)

    def text(self, phase: str, manifest: Manifest, name: str) -> str:
        """A file of a finished phase, as far as the views read it. Raises DamagedError when it is not what was committed."""
        folder = self.root / phase
        if (folder / MANIFEST).is_file():
            return intact(folder, manifest, name)
        try:
            return self.kept(phase)[phase].files[name]
        except KeyError:
            path = path_of(self.root, unit_of(phase))
            raise UserError(f"{path}: does not hold {phase}/{name}; bring that folder from the machine that made it") from None

    def kept(self, phase: str) -> Unit:
        """What the small file says, where it is what counts; {} where the folder does."""
        unit = unit_of(phase)
        if self.by_folder(phase):
            return {}
        if unit not in self._kept:
            try:
                self._kept[unit] = read(self.root, unit)
            except (DamagedError, OtherFormatError):
                if not self.forgiving:
                    raise
                self._kept[unit] = {}
        return self._kept[unit]

    def by_folder(self, phase: str) -> bool:
        place = phase if unit_of(phase) == SHARED else unit_of(phase)
        if place not in self._folders:
            self._folders[place] = has_files(self.root / place)
        return self._folders[place]

    def small_only(self, cell: str) -> bool:
        """Whether of a cell the small file is there and its folder is not."""
        here = not self.by_folder(cell) and path_of(self.root, cell).exists()
        return here and not (self.forgiving and not self.kept(cell))

    def phases(self) -> list[str]:
        """Every finished phase of the run, in an order that does not depend on where it is kept."""
        found = set()
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if path.name in (SHARED, "data"):
                found.update(phase_folders(self.root, SHARED))
            else:
                for cell in path.glob("seed-*"):
                    found.update(phase_folders(self.root, f"{path.name}/{cell.name}"))
        for unit in units(self.root):
            if unit == SHARED:
                found.update(phase for phase in read(self.root, unit) if not self.by_folder(phase))
            else:
                found.update(self.kept(unit))
        return sorted(found, key=lambda phase: phase.split("/"))

    def empty(self) -> bool:
        """Whether nothing is there of any phase, neither a folder nor a small file."""
        return not units(self.root) and next(self.root.rglob(MANIFEST), None) is None
