"""A source of annotated pairs -> its rows, each with its place in the source: a file, a folder of files, or a hub data set."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.config import DataConfig
from harness.errors import UserError, error_line, system_error_line
from harness.settings.paths import resolve_path
from harness.sources.datasets_in_mirror import in_mirror
from harness.sources.hub import silence_hub
from harness.sources.mirror import data_item, locate_item
from harness.sources.splits import files_of_split

FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
# Hub ids whose configuration or split has to be named, and has one obvious choice.
DEFAULT_CONFIGS = {"openai/gsm8k": "main"}
DEFAULT_SPLITS = {"HuggingFaceH4/ultrachat_200k": "train_sft"}
Row = tuple[str, Any]


def read_rows(settings: DataConfig, source: str, mirror: Path | None) -> list[Row]:
    """(where, row) of everything in the source, as it stands. Raises UserError when it is not there, malformed or empty."""
    check_source(source, mirror)
    path = resolve_path(source)
    is_in_mirror = mirror is not None and (mirror / source).is_dir()
    if path.is_file():
        rows = _read_file(path)
    elif path.is_dir() and not is_in_mirror:
        config = settings.config if source == settings.source or (path / str(settings.config)).is_dir() else None
        rows = [row for file in files_of_split(path, settings.split, config) for row in _read_file(file)]
    else:
        rows = _read_hub(settings, source, mirror)
    if not rows:
        raise UserError(f"data {source}: no rows")
    return rows


def check_source(source: str, mirror: Path | None) -> None:
    """Raises UserError where the source is meant to be on this machine and is not there; of the hub nothing is asked."""
    path = resolve_path(source)
    if path.is_file() or path.is_dir():
        return
    is_in_mirror = mirror is not None and (mirror / source).is_dir()
    if os.path.lexists(path) and not is_in_mirror:
        raise UserError(f"data {source}: neither a file nor a folder, nor a link to one; give what can be read twice")
    if source.startswith(("builtin:", ".", "/", "~")) or path.suffix in FILE_SUFFIXES:
        raise UserError(f"data {source}: no such file; give a .jsonl, .json, .csv or .parquet file, a folder, or a hub id")


def _read_file(path: Path) -> list[Row]:
    try:
        if path.suffix == ".jsonl" or (path.suffix == ".json" and _is_json_lines(path)):
            return list(_read_json_lines(path))
        if path.suffix == ".json":
            rows = _parse_json(path.read_bytes(), str(path))
            if not isinstance(rows, list):
                raise UserError(f"{path}: expected a list of objects, found {type(rows).__name__}")
        elif path.suffix == ".csv":
            rows = _read_csv(path)
        elif path.suffix == ".parquet":
            import pandas

            rows = pandas.read_parquet(path).to_dict("records")
        else:
            raise UserError(f"{path}: unknown kind of file {path.suffix!r}; use .jsonl, .json, .csv or .parquet")
    except (UserError, MemoryError):
        raise
    except Exception as error:  # the readers of tables raise many unrelated kinds; each means: this file cannot be read
        if (message := system_error_line(error, path)) is not None:  # no fault of the file's
            raise UserError(message) from error
        raise UserError(f"{path}: cannot be read as {path.suffix}: {error_line(error)}{_format_hint(path)}") from error
    return [(f"{path}: row {n}", row) for n, row in enumerate(rows, start=1)]


def _is_json_lines(path: Path) -> bool:
    """Whether a .json file holds an object a line, as many do."""
    with path.open("rb") as handle:
        first, second = handle.readline(), handle.readline()
    try:
        return bool(second.strip()) and isinstance(json.loads(first.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


def _read_json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as handle:
        for number, line in enumerate(handle, start=1):
            if line.strip():
                where = f"{path}: line {number}"
                yield where, _parse_json(line, where, "a JSON object in UTF-8", _format_hint(path) if number == 1 else "")


def _parse_json(raw: bytes, where: str, expected: str = "JSON in UTF-8", hint: str = "") -> Any:
    """The value in some bytes; a byte order mark is left out. NaN and Infinity, which are no JSON, are refused."""
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_reject_constant, object_pairs_hook=_reject_duplicate_keys)
    except RecursionError as error:
        raise UserError(f"{where}: nested too deep; expected objects whose values are text") from error
    except ValueError as error:  # malformed, another encoding, or a number of thousands of digits
        raise UserError(f"{where}: not {expected}: {error}{hint}") from error


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one name the json module keeps the last, in silence."""
    if (repeated := _first_repeated([name for name, _ in pairs])) is not None:
        raise ValueError(f"{repeated!r} is named twice in one object; rename one")
    return dict(pairs)


def _first_repeated(names: list[str]) -> str | None:
    return None if len(set(names)) == len(names) else Counter(names).most_common(1)[0][0]


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON value; write null or leave the key out")


def _read_csv(path: Path) -> list[dict[str, str]]:
    """Rows by the names in the first line. Strict: a row of another length or a quote that never closes is an error."""
    csv.field_size_limit(2**31 - 1)  # a response may be longer than the module's own limit of 128 kB
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as handle:
        reader = csv.reader(handle, strict=True)
        header = next(reader, [])
        if (repeated := _first_repeated(header)) is not None:
            raise UserError(f"{path}: column {repeated!r} is named twice in the first line; rename one")
        for row in reader:
            if row and len(row) != len(header):
                message = f"a row of {len(row)} values, the first line names {len(header)}"
                raise UserError(f"{path}: line {reader.line_num}: {message}; a text with a comma in it stands in quotes")
            rows += [dict(zip(header, row, strict=True))] if row else []
    return rows


def _format_hint(path: Path) -> str:
    """The kind of file that its first bytes suggest instead, and what to do."""
    with path.open("rb") as handle:
        start = handle.read(4)
    kinds = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x1f\x8b": "gzip", b"PK": "zip", b"PA": "parquet"}
    kind = kinds.get(start[:2])
    if kind is None or path.suffix == f".{kind}":
        return ""
    return f" (it begins like {kind}; " + ("save it as UTF-8)" if kind == "UTF-16" else "unpack or rename it)")


def _read_hub(settings: DataConfig, source: str, mirror: Path | None) -> list[Row]:
    import datasets
    from datasets.exceptions import DatasetGenerationError

    if mirror is not None:
        locate_item(mirror, data_item(source, heldout=source != settings.source))
    config = settings.config or DEFAULT_CONFIGS.get(source)
    split = DEFAULT_SPLITS.get(source, settings.split) if settings.split == "train" else settings.split
    silence_hub()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it could not read is in the error too
    where = f"in {mirror} or on the hub" if mirror else "as a file or on the hub"
    try:
        with in_mirror(mirror):
            table = datasets.load_dataset(source, config, split=split)
    except UserError:
        raise
    except Exception as error:  # the library raises a dozen unrelated kinds; each means that this data set cannot be loaded
        cause = error.__cause__ or error if isinstance(error, DatasetGenerationError) else error
        raise UserError(f"data {source}: not found {where} ({error_line(cause)}); give a file, an id, or --mirror DIR") from error
    try:
        return [(f"{source}: row {n}", row) for n, row in enumerate(table, start=1)]
    except Exception as error:  # images and sounds are decoded here, by packages that may not be installed
        raise UserError(f"data {source}: its rows cannot be read ({error_line(error)}); give a file of texts") from error
