"""Small records of an unfinished phase, each with a digest of its contents: used as they were written, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import DamagedError
from harness.files import write_json
from harness.records import digest


def write(path: Path, value: Any) -> None:
    """Write a plain JSON value atomically."""
    write_json(path, {"digest": _digest(value), "kept": value})


def read(path: Path) -> Any:
    """The value written; None when there is none. Raises DamagedError when the file is not what was written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["digest"] == _digest(stored["kept"]):
            return stored["kept"]
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError, IsADirectoryError, NotADirectoryError):
        pass
    raise DamagedError(f"{path}: damaged")


def _digest(value: Any) -> str:
    return digest(json.dumps(value, sort_keys=True))
