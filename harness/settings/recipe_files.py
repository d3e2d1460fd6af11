"""A recipe as a tree of settings: its own file, the one that it is based on, and paths that start at the file they stand in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.settings.toml_files import BASE_KEY, find_line, find_toml, flat_items, read_toml

MAX_BASES = 20  # of a recipe, one upon the other
PLACE_KEYS = ("model.path", "model.adapter", "data.source", "data.heldout")  # a path or a hub id; what lies there counts
PATH_KEYS = (*PLACE_KEYS, "evaluation.suite", "mirror")
DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
OF_THE_SOURCE = ("heldout", "heldout_split", "distribution")  # settings of [data] that belong to a source


@dataclass(frozen=True)
class Recipe:
    """tree: all settings, paths from the root. written: by dotted key, the text of each path that the file has in its place.
    files: by dotted key, the file that a value stands in.
    """

    path: Path
    tree: dict[str, Any]
    written: Mapping[str, str]
    files: Mapping[str, Path]


def read_recipe(name: str, source: str) -> Recipe:
    """The recipe of that name or path. source: the option that names it. Raises UserError."""
    path = find_toml("recipes", name, source)
    tree, files = _read_with_base(path, [])
    written: dict[str, str] = {}
    for key in PATH_KEYS:
        section, _, last = key.rpartition(".")
        values = tree.get(section) if section else tree
        if isinstance(values, dict) and isinstance(text := values.get(last), str):
            resolved = resolve_recipe_path(key, text, files[key].parent)
            if resolved != text:
                values[last], written[key] = resolved, text
    return Recipe(path, tree, written, files)


def resolve_recipe_path(key: str, text: str, folder: Path) -> str:
    """A setting's path from the root; anything that is no relative path (a hub id, a name, `builtin:`, `~`) as it stands.

    What could be a path or a hub id is a path where the file's folder has something of this name.
    """
    if not text.strip() or text.startswith(("builtin:", "~", "/")) or "://" in text or "\0" in text:
        return text
    path = os.path.normpath(os.path.join(os.path.abspath(folder), text))
    if key == "evaluation.suite":
        is_path = text.endswith(".toml") or "/" in text
    else:
        is_path = key == "mirror" or text.startswith(".") or text.endswith(DATA_SUFFIXES) or os.path.lexists(path)
    return path if is_path else text


def _read_with_base(path: Path, seen: list[Path]) -> tuple[dict[str, Any], dict[str, Path]]:
    """The tree of a file laid over that of its base, and the file of every value."""
    tree = read_toml(path)
    base = tree.pop(BASE_KEY, None)
    own_files = {key: path for key, _ in flat_items(tree)}
    if base is None:
        return tree, own_files
    source = f"{path}: line {find_line(path, BASE_KEY)}: {BASE_KEY}"
    if not isinstance(base, str) or not base.strip():
        raise UserError(f'{source}={base!r}: expected the name or the path of a recipe, for example {BASE_KEY} = "lab"')
    base_path = find_toml("recipes", base, source, path.parent)
    chain = [*seen, path]
    if any(os.path.samefile(base_path, earlier) for earlier in chain):
        raise UserError(f"{source}={base!r}: comes back to a recipe that is based on it; leave it out in one of them")
    if len(chain) > MAX_BASES:
        raise UserError(f"{source}={base!r}: more than {MAX_BASES} recipes one upon the other; write some of them as one")
    merged, files = _read_with_base(base_path, chain)
    if isinstance(data := tree.get("data"), dict) and "source" in data and isinstance(merged.get("data"), dict):
        for key in OF_THE_SOURCE:  # of the base's own pairs
            merged["data"].pop(key, None)
    _lay_over(merged, tree)
    return merged, files | own_files


def _lay_over(tree: dict[str, Any], upper: Mapping[str, Any]) -> None:
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            _lay_over(tree[key], value)
        else:
            tree[key] = value
