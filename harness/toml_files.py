"""Recipes, suites and studies as files: found by name or path, read as TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.paths import PACKAGE, resolve_path


def find_toml(kind: str, name: str) -> Path:
    """The file of a recipe, suite or study given by name or path. kind: its folder. Raises UserError naming the known ones."""
    folder, one = PACKAGE / kind, {"recipes": "recipe", "suites": "suite", "studies": "study"}[kind]
    if name.endswith(".toml") or "/" in name:
        path = resolve_path(name)
        if path.is_dir():
            raise UserError(f"{one} {name}: is a folder, expected a .toml file")
        if not path.is_file():
            raise UserError(f"{one} {name}: no such file; give a path to a .toml file, or a name from {folder.name}/")
        return path
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise UserError(f'unknown {one} "{name}"{did_you_mean(name, (p.stem for p in folder.glob("*.toml")))}')
    return path


def read_toml(path: Path) -> dict[str, Any]:
    """Raises UserError with file and position when the TOML is malformed or not UTF-8."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    except RecursionError as error:
        raise UserError(f"{path}: nested too deep; a .toml file here has sections of keys and values") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
