"""Recipes, suites and studies as files: found by name or path, read as TOML, the source of each setting; values in TOML."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.settings.numbers import iter_leaves
from harness.settings.paths import PACKAGE, resolve_path

BASE_KEY = "base"  # of a recipe: the recipe that it equals but for what it says itself
MAX_INT_READ = 10**400
TOO_MANY_DIGITS = "a whole number of more than 400 digits"
SECTION_LINE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")
KEY_LINE = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=""")


def find_toml(kind: str, name: str, source: str = "", relative_to: Path | None = None) -> Path:
    """The file of a recipe, suite or study given by name or path. kind: its folder. source: the option or file that names it.
    relative_to: the folder in which a path starts; none: the working directory.

    Raises UserError naming the known ones.
    """
    folder, noun = PACKAGE / kind, {"recipes": "recipe", "suites": "suite", "studies": "study"}[kind]
    prefix = f"{source}: " if source else ""
    if name.endswith(".toml") or "/" in name:
        path = resolve_path(name, relative_to)
        if path.is_dir():
            raise UserError(f"{prefix}{noun} {name}: is a folder, expected a .toml file")
        if not path.is_file():
            raise UserError(f"{prefix}{noun} {name}: no such file; give a path to a .toml file, or a name from {folder.name}/")
        return path
    path = folder / f"{name}.toml"
    if not path.is_file():
        raise UserError(f'{prefix}unknown {noun} "{name}"{did_you_mean(name, (p.stem for p in folder.glob("*.toml")))}')
    return path


def base_chain(path: Path) -> list[Path]:
    """A recipe's file, the one that it is based on, and so on; as far as they can be read."""
    chain = [path]
    with contextlib.suppress(UserError):
        while isinstance(base := read_toml(chain[-1]).get(BASE_KEY), str):
            base_path = find_toml("recipes", base, relative_to=chain[-1].parent)
            if base_path in chain:
                break
            chain.append(base_path)
    return chain


def find_line(path: Path, key: str, section_too: bool = True) -> int | None:
    """The line of a .toml file in which a dotted key gets its value; else, with `section_too`, the line in which its section
    begins; None where neither is found.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    section, prefix_line = "", None
    for number, line in enumerate(lines, start=1):
        if section_match := SECTION_LINE.match(line):
            section, name = f"{_unquote(section_match[1])}.", _unquote(section_match[1])
        elif key_match := KEY_LINE.match(line):
            name = section + _unquote(key_match[1])
        else:
            continue
        if name == key or (key.startswith(f"{name}.") and not section_match):
            return number
        if key.startswith(f"{name}."):
            prefix_line = number
    return prefix_line if section_too else None


def _unquote(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def read_toml(path: Path) -> dict[str, Any]:
    """Raises UserError with file and position when the TOML is malformed or not UTF-8."""
    try:
        return _parse_toml(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not in UTF-8 (byte {error.start}: {error.reason}); save it as UTF-8") from error
    except RecursionError as error:
        raise UserError(f"{path}: nested too deeply; expected sections of keys and values") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def setting_source(key: str, option_by_key: Mapping[str, str], path: Path) -> str:
    """The option that set a key, one of its sub-keys or its section; else the file, with the line where it is found.

    path: the recipe's file; the ones that it is based on are searched behind it.
    """
    for set_key, option in option_by_key.items():
        if is_given(key, (set_key,)):
            return option
    for section_too in (False, True):
        for file in base_chain(path):
            if line := find_line(file, key, section_too):
                return f"{file}: line {line}"
    return str(path)


def is_given(key: str, set_keys: Iterable[str]) -> bool:
    """Whether a key, one of its sub-keys or its section is among those that something sets."""
    return any(key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in set_keys)


def flat_items(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every value that is no section itself."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat_items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def get_nested(tree: Mapping[str, Any], dotted_key: str) -> Any:
    """The value of a key; None where there is none."""
    value: Any = tree
    for name in dotted_key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def set_nested(tree: dict[str, Any], dotted_key: str, value: Any, option_by_key: Mapping[str, str], path: Path) -> None:
    *parents, last = dotted_key.split(".")
    for depth, parent in enumerate(parents, start=1):
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            parent_key = ".".join(parents[:depth])
            source = setting_source(parent_key, option_by_key, path)
            raise UserError(f"{source}: {parent_key} is a value, not a section with a key {dotted_key}")
    tree[last] = value


def parse_toml_value(text: str) -> Any:
    """A TOML value where the text is one (numbers, booleans, lists, quoted), else the text itself, which a date is too.

    True and False are read as Python writes them, too.
    """
    if text in ("True", "False"):
        return text == "True"
    try:
        value = _parse_toml(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
    return text if isinstance(value, date | time) else value


def _parse_toml(text: str) -> dict[str, Any]:
    """Raises TOMLDecodeError for an integer too long for Python to print, in any base, too."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:
        raise tomllib.TOMLDecodeError(TOO_MANY_DIGITS) from error
    if any(isinstance(leaf, int) and abs(leaf) >= MAX_INT_READ for _, leaf in iter_leaves(tree)):
        raise tomllib.TOMLDecodeError(TOO_MANY_DIGITS)
    return tree


def format_setting(key: str, value: Any) -> str:
    """What to type for a setting to have a value: what `--set` reads as that value."""
    if value is None:
        return f"leave {key} out"
    text = value if isinstance(value, str) and parse_toml_value(value) == value else _format_toml(value)
    return f"--set '{key}={text}'" if set(text) & set(' "{}[]') else f"--set {key}={text}"


def _format_toml(value: Any) -> str:
    """Plain values in one line; texts, numbers and booleans are written as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(name))}={_format_toml(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_format_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
