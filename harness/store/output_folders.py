"""Where a command may write: runs, reports and packages are kept apart, so that none overwrites another's files.

Everything here is checked before any work. Paths are compared with links resolved.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import UserError
from harness.progress.log_file import LOG_NAME
from harness.store.lease import LEASE

RUN_RECORD = "run.json"
REPORT_PROVENANCE = "provenance.json"  # beside every report: of which run it is
STARTED_RUN_FILES = (RUN_RECORD, "journal.jsonl", "data", "data.partial")  # where a run has begun, if it has more than a lease

# Linux allows 4,096 bytes for a whole path; the paths inside a run are up to 768 bytes longer than its folder's.
MAX_FOLDER_PATH_BYTES = 4096 - 768


def enclosing_run(path: Path) -> Path | None:
    """The run folder that `path` is or lies in; None where there is none."""
    real_path = _resolve_links(path)
    return next((folder for folder in (real_path, *real_path.parents) if os.path.isfile(folder / RUN_RECORD)), None)


def check_outside_runs(path: Path, option: str) -> None:
    """Raises UserError where `path` is a run folder or lies in one: the run alone writes there."""
    if (root := enclosing_run(path)) is not None:
        raise UserError(f"{option} {path}: {root} is a run folder, in which only that run writes; name another with {option}")


def check_path(option: str, folder: Path) -> None:
    """Raises UserError where the folder's path is too long for the names below it, or the system refuses it."""
    if len(os.fsencode(folder.absolute())) > MAX_FOLDER_PATH_BYTES:
        raise UserError(f"{option} {folder}: leaves no room for names below it; name a shorter one with {option} DIR")
    try:
        folder.exists()  # raises for names too long and other refusals, where `lexists` returns False
    except OSError as error:
        raise UserError(f"{option} {folder}: {error.strerror}; name another with {option} DIR") from error


def check_writable(option: str, folder: Path) -> None:
    """Raises UserError where the folder, or the nearest above it, is a file, leads nowhere or may not be written to."""
    existing = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    problem = _not_a_folder(existing)
    if problem is None and not os.access(existing, os.W_OK | os.X_OK):
        problem = "may not be written to"
    if problem is not None:
        raise UserError(f"{option} {folder}: {existing} {problem}; name another with {option} DIR")


def _not_a_folder(path: Path) -> str | None:
    """What a path is that exists and is no folder; None for a folder."""
    if os.path.isdir(path):
        return None
    return "is a file, not a folder" if os.path.exists(path) else "is a link that leads nowhere"


def check_run_folder(root: Path) -> None:
    """Raises UserError where the run folder would lie in another run's, or holds files and none of a run."""
    if (enclosing := enclosing_run(root.parent)) is not None:
        raise UserError(f"--results {root.parent}: {enclosing} is a run folder; name another place with --results DIR")
    if os.path.lexists(root) and (problem := _not_a_folder(root)) is not None:
        raise UserError(f"{root}: {problem}; use --results DIR or --name OTHER for the run")
    if os.path.isfile(root / REPORT_PROVENANCE) and not os.path.isfile(root / RUN_RECORD):
        raise UserError(f"{root}: is the folder of a report's numbers; use --results DIR or --name OTHER for the run")
    names = [path.name for path in root.iterdir()] if root.is_dir() else []
    if names and not any(name in STARTED_RUN_FILES or name.startswith(LEASE) for name in names):
        raise UserError(f"{root}: holds files, and none of a run; use --results DIR or --name OTHER for a folder of its own")


def remove_empty(new_folders: Sequence[Path]) -> None:
    """Remove the new folder of a run, and the new ones above it, as far as they are empty."""
    for file in (LEASE, "journal.jsonl", LOG_NAME):
        (new_folders[0] / file).unlink(missing_ok=True)
    for folder in new_folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def check_report(pdf: Path, option: str, root: Path | None = None) -> None:
    """Raises UserError where a report written as `pdf` could overwrite a file that is not its own.

    Beside the PDF lie its .html and a folder with its numbers. root: the run that is reported, which need not exist yet; None
    for a page that is no run's. option: the option that gave the path.
    """
    if pdf.suffix.lower() != ".pdf":
        raise UserError(f"{option} {pdf}: expected the name of a PDF, for example {pdf.name or 'report'}.pdf")
    numbers_folder = pdf.with_suffix("")
    if (problem := next(_report_problems(pdf, numbers_folder, root), None)) is not None:
        raise UserError(
            f"{option}: the report {pdf} has its numbers in the folder {numbers_folder}, but {problem}; name another place with "
            f"{option}"
        )


def _report_problems(pdf: Path, numbers_folder: Path, root: Path | None) -> Iterator[str]:
    real_root = _resolve_links(root) if root is not None else None
    for path in (pdf, pdf.with_suffix(".html"), numbers_folder):
        if (enclosing := enclosing_run(path)) is not None:
            yield f"{enclosing} is a run folder"
        if real_root is not None and _resolve_links(path).is_relative_to(real_root):
            yield f"{root} is a run folder"
        if path != numbers_folder and os.path.isdir(path):
            yield f"{path} is a folder, where the report would be a file"
    if real_root is not None and real_root.is_relative_to(_resolve_links(numbers_folder)):
        yield f"the run itself would lie in that ({root})"
    if os.path.lexists(numbers_folder) and not os.path.isdir(numbers_folder):
        yield "that is a file"
    reported_run = _read_text_field(numbers_folder / REPORT_PROVENANCE, "run")
    if reported_run is not None and (root is None or reported_run not in _run_names(root)):
        yield f"those are the report of the run {reported_run}"
    if root is not None and reported_run is None and os.path.isdir(numbers_folder) and any(numbers_folder.iterdir()):
        yield "that holds other files"


def _run_names(root: Path) -> set[str | None]:
    """The names a run goes by: its folder's, and the one in its record, which a folder that was renamed keeps."""
    return {root.name, _resolve_links(root).name, _read_text_field(root / RUN_RECORD, "name")}


def _read_text_field(path: Path, field: str) -> str | None:
    """A field of a JSON file; None where there is no such file, or it is damaged."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        if os.path.isfile(path):  # reading a FIFO would block forever
            return str(json.loads(path.read_text(encoding="utf-8"))[field])
    return None


def _resolve_links(path: Path) -> Path:
    return Path(os.path.realpath(path))
