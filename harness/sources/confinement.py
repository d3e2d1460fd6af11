"""Nothing in a mirror makes a library read outside its folder: neither references in its own files nor links.

A data set's README.md may name any files as its own, a model's files may name others. All references are checked before
anything is read; `confined_loading` also checks the files that the library datasets resolves, wherever they were named.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from harness.errors import UserError

DATASET_CARD_FILES = ("README.md", ".huggingface.yaml")
FILE_KEYS = ("data_files", "data_dir")
# of a README.md, as the hub's library finds it
YAML_FRONT_MATTER = re.compile(r"\ufeff?\s*---[\r\n]+([\s\S]*?)[\r\n]+---(?:[\r\n]|$)")
WEIGHTS_INDEX_SUFFIX = ".safetensors.index.json"
MAX_CARD_VALUES = 1_000_000  # values in a data set's description


def outside_references(folder: Path, mirror: Path) -> Iterator[str]:
    """One line for each link or reference in the folder of a data set, a model or an adapter that leads out of it."""
    links = list(_outside_links(folder, mirror))
    yield from links
    if links:
        return  # links are not followed
    for name in DATASET_CARD_FILES:
        path = folder / name
        if _has_too_many_values(card := _read_card(path)):
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
    """Raises UserError where a model in a mirror names Python code of another repository or folder (transformers' `auto_map`)."""
    for file in sorted(Path(path).glob("*.json")):
        for reference in _auto_maps(_read_json(file)):
            if "--" in reference or not is_inside(reference):
                raise UserError(
                    f"{file}: auto_map names code of another repository or folder, {reference.partition('--')[0]}, which a "
                    "mirror does not hold; copy the code beside the model and name it without the repository"
                )


def _auto_maps(config: Any) -> Iterator[str]:
    """Every text below an `auto_map`, at any depth: a model of several parts has the settings of each within its own."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        waiting += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        if isinstance(value, Mapping) and "auto_map" in value:
            yield from _iter_strings(value["auto_map"])


# ---------------------------------------------------------------- references


def _read_card(path: Path) -> Any:
    """The YAML of a data set's description; None where there is none, or none that can be read."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if path.suffix == ".md":
        match = YAML_FRONT_MATTER.match(text)
        text = match[1] if match else ""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # the library cannot read it either, and raises


def _has_too_many_values(card: Any) -> bool:
    """Whether it holds more than MAX_CARD_VALUES, each counted as often as it is held: few lines of YAML can hold any number."""
    waiting, size = [card], 0
    while waiting and size <= MAX_CARD_VALUES:
        value = waiting.pop()
        size += 1
        waiting += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return size > MAX_CARD_VALUES


def _card_references(card: Any) -> Iterator[tuple[str, str]]:
    """(key, name) of every file, pattern or folder that a data set's description names as its own."""
    if isinstance(card, Mapping):
        for config in card["configs"] if isinstance(card.get("configs"), list) else ():
            for key in FILE_KEYS if isinstance(config, Mapping) else ():
                yield from ((key, name) for name in _iter_strings(config.get(key)))


def _iter_strings(value: Any) -> Iterator[str]:
    """Every text in a value of data_files; of {split, path} the path."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not (key == "split" and "path" in value):
                yield from _iter_strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _iter_strings(inner)


def _model_references(folder: Path) -> Iterator[str]:
    """One line per file outside the folder that a model or an adapter names: weights, a base, a tokenizer's files."""
    for file in sorted(folder.glob(f"*{WEIGHTS_INDEX_SUFFIX}")):
        content = _read_json(file)
        weights = content.get("weight_map") if isinstance(content, Mapping) else None
        for name in sorted(set(map(str, weights.values()))) if isinstance(weights, Mapping) else ():
            if not is_inside(name):
                yield f"{file}: names the weights {name!r}, which are outside its folder; copy the model again"
    content = _read_json(folder / "tokenizer_config.json")
    files = content.items() if isinstance(content, Mapping) else ()
    for key, name in ((key, name) for key, value in files if str(key).endswith("_file") for name in _iter_strings(value)):
        if not is_inside(name):
            yield f"{folder / 'tokenizer_config.json'}: {key} names {name!r}, which is outside its folder; leave it out"
    if (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        content = _read_json(folder / "adapter_config.json")
        base = content.get("base_model_name_or_path") if isinstance(content, Mapping) else None
        if base:
            yield (
                f"{folder / 'adapter_config.json'}: an adapter beside a model, for which transformers loads the base {base!r} "
                "instead; put the adapter into a folder of its own and name it with --set model.adapter=FOLDER"
            )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _roots(base: Path) -> list[Path]:
    """Where the files of a folder may lie: in it, and for a folder of the hub's cache in the `blobs` beside it."""
    return [base, base.parent.parent / "blobs"] if base.parent.name == "snapshots" else [base]


def _outside_links(folder: Path, mirror: Path) -> Iterator[str]:
    """Links to files outside, and whatever is neither file nor folder. In the hub's cache a folder consists of links to the
    `blobs` beside it, which are allowed.
    """
    try:
        mirror_root, base = mirror.resolve(), folder.resolve()
    except (RuntimeError, OSError):
        yield f"{folder}: is a link that leads in a circle; copy the folder into the mirror"
        return
    if not base.is_relative_to(mirror_root):
        yield f"{folder}: is a link to {base}, which is outside the mirror; copy the folder into it"
        return
    roots = _roots(base)
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


# ---------------------------------------------------------------- loading


@contextlib.contextmanager
def confined_loading(mirror: Path) -> Iterator[None]:
    """Within, the library datasets reads a data set in the mirror from its folder alone, and decodes no column.

    A column of pictures or sounds holds paths or addresses, which decoding would open; no text is in one.
    """
    import datasets
    import datasets.load

    load_builder, load_dataset = datasets.load.load_dataset_builder, datasets.load_dataset

    @functools.wraps(load_builder)
    def checked_load_builder(path: str, *args: Any, **kwargs: Any) -> Any:
        folder = mirror / path
        if folder.is_dir():
            for problem in outside_references(folder, mirror):
                raise UserError(problem)
        builder = load_builder(path, *args, **kwargs)
        if folder.is_dir():
            _check_files(builder, folder)
        return builder

    @functools.wraps(load_dataset)
    def undecoded_load_dataset(*args: Any, **kwargs: Any) -> Any:
        return _without_decoding(load_dataset(*args, **kwargs))

    with (
        mock.patch.object(datasets.load, "load_dataset_builder", checked_load_builder),
        mock.patch.object(datasets, "load_dataset", undecoded_load_dataset),
    ):
        yield


def _check_files(builder: Any, folder: Path) -> None:
    """Raises UserError where a builder would read a file that is outside the data set's folder."""
    roots = _roots(folder.resolve())
    for files in (builder.config.data_files or {}).values():
        for name in files:
            if "://" in str(name) or not any(Path(str(name)).resolve().is_relative_to(root) for root in roots):
                raise UserError(f"{folder}: names {str(name)!r} as its data, which is outside its folder; put the files into it")


def _without_decoding(loaded: Any) -> Any:
    """A loaded data set, or several by split, whose columns of pictures, sounds and the like are left as they are stored."""
    from datasets import Dataset, DatasetDict, Features
    from datasets.features.features import _visit

    if isinstance(loaded, DatasetDict):
        return DatasetDict({split: _without_decoding(table) for split, table in loaded.items()})
    if not isinstance(loaded, Dataset):
        return loaded

    def undecoded_feature(feature: Any) -> Any:
        decodes = getattr(feature, "decode", False) and getattr(feature, "_type", "") not in SAFE_FEATURE_TYPES
        return dataclasses.replace(feature, decode=False) if decodes else feature

    features = Features({name: _visit(feature, undecoded_feature) for name, feature in loaded.features.items()})
    return loaded if features == loaded.features else loaded.cast(features)


SAFE_FEATURE_TYPES = ("Json",)  # decoded without opening anything
