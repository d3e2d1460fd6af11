"""Digests of the files that a run's pairs are read from: a run goes on from another folder where these are the same."""

from __future__ import annotations

from pathlib import Path

from harness.config import RunConfig
from harness.files import file_digest
from harness.records import digest
from harness.settings.paths import resolve_path
from harness.settings.recipe_files import DATA_SUFFIXES

SOURCE_KEYS = ("source", "heldout")  # of [data]


def source_digests(config: RunConfig) -> dict[str, str]:
    """`data.source` and `data.heldout` -> digest of what lies there; without those that are not on this machine."""
    sources = {f"data.{key}": getattr(config.data, key) for key in SOURCE_KEYS}
    digests = {key: source_digest(text) for key, text in sources.items() if text is not None}
    return {key: value for key, value in digests.items() if value is not None}


def source_digest(text: str) -> str | None:
    """The digest of a file, or of the names and contents of a folder's files; None where the text is no path."""
    path = resolve_path(text)
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        return None
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.suffix in DATA_SUFFIXES)
    return digest(*(part for file in files for part in (_name(file, path), file_digest(file))))


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()
