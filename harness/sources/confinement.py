"""Nothing in a mirror makes a library read outside its folder: neither references in its own files nor links.

A data set's README.md may name any files as its own, a model's files may name others. All references are checked before
anything is read; `datasets_in_mirror` also checks the files that the library datasets resolves, wherever they were named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import UserError

DATASET_CARD_FILES = ("README.md", ".huggingface.yaml")
FILE_KEYS = ("data_files", "data_dir")
WEIGHTS_INDEX_SUFFIX = ".safetensors.index.json"
MAX_CARD_CHARS = 1 << 20  # of a data set's description, which the hub's libraries read at about 100 kB a second
MAX_CARD_VALUES = 1_000_000  # in it: few lines of YAML can hold any number


def outside_references(folder: Path, mirror: Path) -> Iterator[str]:
    """One line for each link or reference in the folder of a data set, a model or an adapter that leads out of it."""
    links = list(_outside_links(folder, mirror))
    yield from links
    if links:
        return  # links are not followed
    for name in DATASET_CARD_FILES:
        path = folder / name
        if len(text := _card_text(path)) > MAX_CARD_CHARS:
            yield f"{path}: its YAML has more than {MAX_CARD_CHARS:,} characters; shorten it"
            continue
        card = _parse_yaml(text)
        if sum(1 for _ in islice(_iter_values(card), MAX_CARD_VALUES + 1)) > MAX_CARD_VALUES:
            yield f"{path}: holds more than {MAX_CARD_VALUES:,} values, or one within itself (`*` in YAML); write it without them"
            continue
        for key, reference in _card_references(card):
            if not is_inside(reference):
                yield f"{path}: {key} names {reference!r}, which is outside its folder; put the files into it, and name these"
    yield from _model_references(folder)


def is_inside(name: str) -> bool:
    """Whether a name can only mean something in the folder it is taken from: no address, no absolute path, no way upwards."""
    parts = name.replace("\\", "/").split("/")
    return not ("::" in name or ":/" in name or ".." in parts or parts[0].startswith("~") or parts[0].endswith(":")
                or name.startswith(("/", "\\")))  # fmt: skip


def check_no_foreign_code(path: str | Path) -> None:
    """Raises UserError where a model in a mirror names Python code of another repository or folder (transformers' `auto_map`),
    at any depth: a model of several parts has the settings of each within its own."""
    for file in sorted(Path(path).glob("*.json")):
        objects = (value for value in _iter_values(_read_object(file)) if isinstance(value, Mapping))
        for reference in _iter_strings([value["auto_map"] for value in objects if "auto_map" in value]):
            if "--" in reference or not is_inside(reference):
                raise UserError(
                    f"{file}: auto_map names code of another repository or folder, {reference.partition('--')[0]}, which a "
                    "mirror does not hold; copy the code beside the model and name it without the repository"
                )


def _iter_values(value: Any) -> Iterator[Any]:
    """A value and every value within it, each as often as it is held."""
    waiting = [value]
    while waiting:
        yield (value := waiting.pop())
        waiting += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _iter_strings(value: Any) -> Iterator[str]:
    return (text for text in _iter_values(value) if isinstance(text, str))


def _card_text(path: Path) -> str:
    """The YAML of a data set's description, empty where there is none, or none that can be read."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return ""
    if path.suffix != ".md":
        return text
    match = REGEX_YAML_BLOCK.search(text)
    return match[2] if match else ""


def _parse_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # the library cannot read it either, and raises


def _card_references(card: Any) -> Iterator[tuple[str, str]]:
    """(key, name) of every file, pattern or folder that a data set's description names as its own."""
    configs = card.get("configs") if isinstance(card, Mapping) else None
    for config in configs if isinstance(configs, list) else ():
        for key in FILE_KEYS if isinstance(config, Mapping) else ():
            yield from ((key, name) for name in _iter_strings(config.get(key)))


def _model_references(folder: Path) -> Iterator[str]:
    """One line per file outside the folder that a model or an adapter names: weights, a base, a tokenizer's files."""
    for file in sorted(folder.glob(f"*{WEIGHTS_INDEX_SUFFIX}")):
        for name in sorted(set(_iter_strings(_read_object(file).get("weight_map")))):
            if not is_inside(name):
                yield f"{file}: names the weights {name!r}, which are outside its folder; copy the model again"
    file = folder / "tokenizer_config.json"
    for key, value in _read_object(file).items():
        for name in _iter_strings(value) if key.endswith("_file") else ():
            if not is_inside(name):
                yield f"{file}: {key} names {name!r}, which is outside its folder; leave it out"
    file = folder / "adapter_config.json"
    base = _read_object(file).get("base_model_name_or_path") if (folder / "config.json").is_file() else None
    if base:
        yield (
            f"{file}: an adapter beside a model, for which transformers loads the base {base!r} instead; put the adapter into a "
            "folder of its own and name it with --set model.adapter=FOLDER"
        )


def _read_object(path: Path) -> Mapping[str, Any]:
    """A JSON file's object; empty where there is none, which the library reports."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, Mapping) else {}


def folder_roots(base: Path) -> list[Path]:
    """Where the files of a folder may lie: in it; for a snapshot of the hub's cache in the `blobs` of its repository or cache."""
    caches = (base.parent.parent, base.parent.parent.parent) if base.parent.name == "snapshots" else ()
    return [base, *(cache / "blobs" for cache in caches)]


def _outside_links(folder: Path, mirror: Path) -> Iterator[str]:
    """Links to files outside, and whatever is neither file nor folder. In the hub's cache a folder consists of links to the
    `blobs` beside it, which are allowed."""
    try:
        mirror_root, base = mirror.resolve(), folder.resolve()
    except (RuntimeError, OSError):
        yield f"{folder}: is a link that leads in a circle; copy the folder into the mirror"
        return
    if not base.is_relative_to(mirror_root):
        yield f"{folder}: is a link to {base}, which is outside the mirror; copy the folder into it"
        return
    roots = folder_roots(base)
    for directory, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = Path(directory, name)
            if not path.is_symlink():
                if not (path.is_dir() or path.is_file()):
                    yield f"{path}: neither a file nor a folder; remove it"
                continue
            try:
                target = path.resolve()
            except (RuntimeError, OSError):
                yield f"{path}: is a link that leads in a circle; copy the file to its place"
                continue
            if not any(target.is_relative_to(root) for root in roots):
                yield f"{path}: is a link to {target}, which is outside its folder; copy the file into it"
