"""A source of annotated pairs -> its rows, each with where it stands: a file, a folder of files, or a hub data set."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.config import DataConfig, resolve_path
from harness.errors import UserError
from harness.mirror import found_in, wanted_data

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
IN_FOLDERS = (".jsonl", ".csv", ".parquet")  # a .json in a data set's folder is as often a description of it
# Hub ids whose configuration or split has to be named, and has one obvious choice.
KNOWN_CONFIGS = {"openai/gsm8k": "main"}
KNOWN_SPLITS = {"HuggingFaceH4/ultrachat_200k": "train_sft"}
Row = tuple[str, Any]


def rows_of(settings: DataConfig, source: str, mirror: Path | None) -> list[Row]:
    """(where, row) of everything in the source, as it stands. Raises UserError when it is not there, malformed or empty."""
    path = resolve_path(source)
    if path.is_file():
        rows = _rows_of_file(path)
    elif path.is_dir() and (mirror is None or not (mirror / source).is_dir()):
        rows = [row for file in _files_of(path, settings.split) for row in _rows_of_file(file)]
    elif source.startswith(("builtin:", ".", "/")) or path.suffix in SUFFIXES:
        raise UserError(f"data {source}: no such file; give a .jsonl, .json, .csv or .parquet file, a folder, or a hub id")
    else:
        rows = _rows_of_hub(settings, source, mirror)
    if not rows:
        raise UserError(f"data {source}: no rows")
    return rows


def _files_of(folder: Path, split: str) -> list[Path]:
    """The data files of a folder in the order of their names; those named after the split, where any is."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in IN_FOLDERS and path.is_file())
    named = [path for path in files if path.stem == split or path.stem.startswith((f"{split}-", f"{split}_", f"{split}."))]
    if not files:
        raise UserError(f"data {folder}: holds no {', '.join(IN_FOLDERS)} file")
    return named or files


def _rows_of_file(path: Path) -> list[tuple[str, Any]]:
    try:
        if path.suffix == ".jsonl":
            return list(_json_lines(path))
        if path.suffix == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(rows, list):
                raise UserError(f"{path}: expected a list of objects, found {type(rows).__name__}")
        elif path.suffix in (".csv", ".parquet"):
            import pandas

            table = (
                pandas.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pandas.read_parquet(path)
            )
            rows = table.to_dict("records")
        else:
            raise UserError(f"{path}: unknown kind of file {path.suffix!r}; use .jsonl, .json, .csv or .parquet")
    except UserError:
        raise
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as {path.suffix}: {str(error).splitlines()[0]}") from error
    return [(f"{path}: row {n}", row) for n, row in enumerate(rows, start=1)]


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            try:
                yield f"{path}: line {number}", json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}: line {number}: not a JSON object in UTF-8: {error}") from error


def _rows_of_hub(settings: DataConfig, source: str, mirror: Path | None) -> list[tuple[str, Any]]:
    import datasets

    if mirror is not None:
        found_in(mirror, wanted_data(source, heldout=source != settings.source))
    config = settings.config or KNOWN_CONFIGS.get(source)
    split = KNOWN_SPLITS.get(source, settings.split) if settings.split == "train" else settings.split
    datasets.disable_progress_bars()
    where = f"in {mirror} or on the hub" if mirror else "as a file or on the hub"
    try:
        with mirrored(mirror):
            table = datasets.load_dataset(source, config, split=split)
    except Exception as error:  # the library raises a dozen unrelated kinds; each means: this data set is not to be had
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"data {source}: not found {where} ({reason[:200]}); give a file, an id, or --mirror DIR") from error
    return [(f"{source}: row {n}", row) for n, row in enumerate(table, start=1)]


@contextlib.contextmanager
def mirrored(mirror: Path | None) -> Iterator[None]:
    """Look data sets up in a folder that holds them under their hub ids; without one, change nothing."""
    if mirror is None:
        yield
        return
    if not mirror.is_dir():
        raise UserError(f"--mirror {mirror}: no such folder")
    with contextlib.chdir(mirror):
        yield
