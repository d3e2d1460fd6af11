"""Open a finished or unfinished run by its name or its folder, as untrusted input."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from harness.errors import UserError, did_you_mean
from harness.settings.paths import expand_user
from harness.settings.user_config import FOLDER_VARIABLES, user_folder
from harness.store.run_folder import RunFolder
from harness.store.untrusted import validate_run_folder


def run_names(results: Path) -> list[str]:
    """The names of the run folders below `results`."""
    return sorted(path.parent.name for path in results.glob("*/run.json"))


def find_run(run: str, results: Path) -> Path | None:
    """The folder with a run.json that the text names, below `results` or by itself; None where there is none."""
    candidates = (results / run, expand_user(run)) if run.strip() else ()
    return next((folder for folder in candidates if (folder / "run.json").exists()), None)


def as_argument(run: Path) -> str:
    """What to type for the run in a command that takes its name or its folder: the name where that finds it without --results."""
    results = Path(os.environ.get(FOLDER_VARIABLES["results"]) or user_folder("results") or "results")
    found = find_run(run.name, results)
    return shlex.quote(run.name if found is not None and found.resolve() == run.resolve() else str(run))


def open_run(run: str, results: Path) -> RunFolder:
    """A run by name below `results`, or by folder, validated as untrusted input. Raises UserError with the nearest name."""
    if not run.strip():
        raise UserError(f"the run's name is empty; expected the name of a run in {results}, or its folder")
    folder = find_run(run, results)
    if folder is None:
        raise UserError(f'no run "{run}" in {results}{did_you_mean(run, run_names(results))}')
    validate_run_folder(folder)  # raises for a run.json that is a folder
    return RunFolder(folder if folder.name not in ("", "..") else folder.resolve())
