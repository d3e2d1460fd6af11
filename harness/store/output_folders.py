"""Where a command may write: runs, reports and packages keep apart, so that no file of one is ever another's.

Everything here is asked before any work. Places are compared with links resolved.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.lease import LEASE

RECORD = "run.json"
REPORTED = "provenance.json"  # beside every report: whose it is
BEGUN = (RECORD, "journal.jsonl", "data", "data.partial")  # what a folder has in which a run has begun

# Bytes of a folder that is written into: Linux takes 4,096 for a whole path, and a run's own go this much deeper.
MOST_OF_A_PATH = 4096 - 768


def run_around(place: Path) -> Path | None:
    """The run folder that `place` is or lies in; None where there is none."""
    real = _real(place)
    return next((folder for folder in (real, *real.parents) if os.path.isfile(folder / RECORD)), None)


def check_outside(place: Path, option: str) -> None:
    """Raises UserError where `place` is a run folder or lies in one: the run alone writes there."""
    if (around := run_around(place)) is not None:
        raise UserError(f"{option} {place}: {around} is a run folder, in which only that run writes; name another with {option}")


def check_name(option: str, folder: Path) -> None:
    """Raises UserError where the folder's name is too long for what goes below it, or the system refuses it."""
    if len(os.fsencode(folder.absolute())) > MOST_OF_A_PATH:
        raise UserError(f"{option} {folder}: leaves no room for names below it; name a shorter one with {option} DIR")
    try:
        folder.exists()  # which names too long and other refusals end, where `lexists` says no
    except OSError as error:
        raise UserError(f"{option} {folder}: {error.strerror}; name another with {option} DIR") from error


def check_writable(option: str, folder: Path) -> None:
    """Raises UserError where the folder, or the nearest above it, is a file, leads nowhere or may not be written to."""
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.exists():
        raise UserError(f"{option} {folder}: {there} is a link that leads nowhere; name another with {option} DIR")
    if not there.is_dir():
        raise UserError(f"{option} {folder}: {there} is a file, not a folder; name another with {option} DIR")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"{option} {folder}: {there} may not be written to; name another with {option} DIR")


def check_run_folder(root: Path) -> None:
    """Raises UserError where the run folder would lie in another run's, or is a folder of something else.

    A new one, an empty one and one in which a run has begun are well.
    """
    if (around := run_around(root.parent)) is not None:
        raise UserError(f"--results {root.parent}: {around} is a run folder; name another place with --results DIR")
    if os.path.lexists(root) and not os.path.isdir(root):
        what = "a link that leads nowhere" if os.path.islink(root) and not os.path.exists(root) else "a file"
        raise UserError(f"{root}: is {what}, not a folder; use --results DIR or --name OTHER for the run")
    if os.path.isfile(root / REPORTED) and not os.path.isfile(root / RECORD):
        raise UserError(f"{root}: is the folder of a report's numbers; use --results DIR or --name OTHER for the run")
    if root.is_dir() and any(root.iterdir()) and not _begun(root):
        raise UserError(f"{root}: holds files, and none of a run; use --results DIR or --name OTHER for a folder of its own")


def _begun(root: Path) -> bool:
    """Whether a run has begun in the folder, if only with a lease: a kill may leave that under the name it is made under."""
    return any(entry.name in BEGUN or entry.name.startswith(LEASE) for entry in root.iterdir())


def check_report(pdf: Path, option: str, root: Path | None = None) -> None:
    """Raises UserError where a report as `pdf` could touch a file that is not its own.

    Beside the PDF lie its .html and a folder with its numbers. root: the run that is reported, which need not be there yet; None
    for a page that is no run's. option: how the place was named.
    """
    if pdf.suffix.lower() != ".pdf":
        raise UserError(f"{option} {pdf}: expected the name of a PDF, for example {pdf.name or 'report'}.pdf")
    beside = pdf.with_suffix("")
    said = f"{option}: the report {pdf} has its numbers in the folder {beside}"
    for place in (pdf, pdf.with_suffix(".html"), beside):
        around = run_around(place)
        if around is None and root is not None and _real(place).is_relative_to(_real(root)):
            around = root
        if around is not None:
            raise UserError(f"{said}, but {around} is a run folder; name another place with {option}")
        if place != beside and os.path.isdir(place):
            raise UserError(f"{option}: {place} is a folder, and the report would be a file of this name; name another place")
    if root is not None and _real(root).is_relative_to(_real(beside)):
        raise UserError(f"{said}, in which the run itself would lie ({root}); name another place with {option}")
    if os.path.lexists(beside) and not os.path.isdir(beside):
        raise UserError(f"{said}, but that is a file; name another place with {option}")
    owner = _owner(beside)
    if owner is not None and (root is None or owner not in _names(root)):
        raise UserError(f"{said}, but those are the report of the run {owner}; name another place with {option}, or remove it")
    if root is not None and owner is None and os.path.isdir(beside) and any(beside.iterdir()):
        raise UserError(f"{said}, but that holds other files; name another place with {option}")


def _owner(beside: Path) -> str | None:
    """The name of the run whose report lies in a folder; None where there is no report."""
    if not os.path.isfile(beside / REPORTED):  # reading a FIFO would wait without end
        return None
    try:
        said: Any = json.loads((beside / REPORTED).read_text(encoding="utf-8"))
        return str(said["run"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _names(root: Path) -> set[str]:
    """The names a run goes by: its folder's, and the one in its record, which a folder that was renamed keeps."""
    names = {root.name, _real(root).name}
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):  # a new run, or a damaged record
        names.add(str(json.loads((root / RECORD).read_text(encoding="utf-8"))["name"]))
    return names


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
