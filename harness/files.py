"""Files of phases: JSON written atomically, JSON lines, digests of contents. Independent of run folders."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import DamagedError, UserError
from harness.records import digest

R = TypeVar("R")
MANIFEST = "manifest.json"
RECOMPUTE_ADVICE = "repeat the run's command with --recompute to set aside what is damaged and make it again"


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON, and dataclasses as their fields, atomically. NaN is an error: a missing number is missing."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, default=asdict) + "\n")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    with write_atomic(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`; what is written there is flushed to the disk, then renamed to `path`."""
    temporary = path.with_name(path.name + ".tmp")
    yield temporary
    commit_file(temporary, path)


def commit_file(temporary: Path, path: Path) -> None:
    """Flush a file to the disk, then rename it to `path`, which it replaces."""
    _fsync(temporary)
    temporary.replace(path)


def commit_folder(partial: Path, folder: Path) -> None:
    """Flush a folder and everything below it to the disk, then rename it. Raises OSError where `folder` is not empty."""
    for path in (*walk(partial), partial):
        _fsync(path)
    partial.rename(folder)
    _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checked(path: Path, value: Any) -> None:
    """Write a plain JSON value atomically, with a digest of it."""
    write_json(path, {"digest": _value_digest(value), "kept": value})


def read_checked(path: Path) -> Any:
    """The value of `write_checked`; None when there is none. Raises DamagedError when the file is not what was written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["digest"] == _value_digest(stored["kept"]):
            return stored["kept"]
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError, IsADirectoryError, NotADirectoryError):
        pass
    raise DamagedError(f"{path}: damaged")


def _value_digest(value: Any) -> str:
    return digest(json.dumps(value, sort_keys=True))


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run folder. Raises UserError when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is this a run folder?") from error
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise DamagedError(f"{path}: damaged ({str(error)[:100]}); {RECOMPUTE_ADVICE}") from error


def json_round_trip(value: Any) -> Any:
    """The value as read back from a JSON file: tuples become lists, keys texts."""
    return json.loads(json.dumps(value))


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """One JSON object per line, as in `write_json` but not atomically; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as handle:
        for row in rows:
            handle.write(json.dumps(row, allow_nan=False, default=asdict) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, row_type: type[R] | None = None) -> list[R]:
    """Rows of a JSON-lines file, as `row_type` dataclasses where one is given."""
    with path.open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    return [row_type(**row) for row in rows] if row_type is not None else rows


def file_digest(path: Path) -> str:
    """16 hexadecimal digits of blake2b over the file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def bytes_digest(raw: bytes) -> str:
    """The same for bytes already read from a file."""
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def walk(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, folders too, at any depth, in no order; links are yielded, not followed.

    Raises OSError for a folder that cannot be listed; one that is removed meanwhile is skipped.
    """
    pending = [folder]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                yield Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))


def make_folder(folder: Path) -> None:
    """Create the folder and its missing parents. `Path.mkdir(parents=True)` recurses, and fails in deep paths."""
    missing = list(itertools.takewhile(lambda parent: not parent.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def folder_digests(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file below `folder` but its manifest."""
    files = sorted(p for p in walk(folder) if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}
