"""What a mirror holds reads nothing outside its folder: not by the words of its own files, not by links.

A data set's README.md may name any files as its own, a model's files may name others. All that is named is looked at before
anything is read; `loading` looks once more at the files that the library datasets has found, whoever named them.
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

DESCRIPTIONS = ("README.md", ".huggingface.yaml")
NAMES_FILES = ("data_files", "data_dir")
FRONT = re.compile(r"\ufeff?\s*---[\r\n]+([\s\S]*?)[\r\n]+---(?:[\r\n]|$)")  # of a README.md, as the hub's library finds it
INDEX = ".safetensors.index.json"
MOST = 1_000_000  # values in a description


def leading_out(folder: Path, mirror: Path) -> Iterator[str]:
    """One line for each thing in the folder of a data set, a model or an adapter that leads out of it."""
    links = list(_links(folder, mirror))
    yield from links
    if links:
        return  # what is elsewhere, or has no end, is not read
    for name in DESCRIPTIONS:
        path = folder / name
        if _endless(said := _described(path)):
            yield f"{path}: says more than {MOST:,} things, or one within itself (`*` in YAML); write it without them"
            continue
        for key, named in _named(said):
            if not is_inside(named):
                yield f"{path}: {key} names {named!r}, which is outside its folder; put the files into it, and name these"
    yield from _of_a_model(folder)


def is_inside(name: str) -> bool:
    """Whether a name can only mean something in the folder it is taken from: no address, no absolute path, no way upwards."""
    parts = name.replace("\\", "/").split("/")
    return not ("::" in name or ":/" in name or ".." in parts or parts[0].startswith("~") or parts[0].endswith(":")
                or name.startswith(("/", "\\")))  # fmt: skip


def refuse_foreign_code(path: str | Path) -> None:
    """Raises UserError where a model in a mirror names Python code of another repository or folder (transformers' `auto_map`)."""
    for file in sorted(Path(path).glob("*.json")):
        for one in _auto_maps(_json(file)):
            if "--" in one or not is_inside(one):
                raise UserError(
                    f"{file}: auto_map names code of another repository or folder, {one.partition('--')[0]}, which a mirror does "
                    "not hold; copy the code beside the model and name it without the repository"
                )


def _auto_maps(said: Any) -> Iterator[str]:
    """Every text below an `auto_map`, at any depth: a model of several parts has the settings of each within its own."""
    waiting = [said]
    while waiting:
        one = waiting.pop()
        waiting += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
        if isinstance(one, Mapping) and "auto_map" in one:
            yield from _texts(one["auto_map"])


# ---------------------------------------------------------------- what is named


def _described(path: Path) -> Any:
    """What a data set's description says in YAML; None where there is none, or none that can be read."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    if path.suffix == ".md":
        found = FRONT.match(text)
        text = found[1] if found else ""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None  # the library cannot read it either, and says so


def _endless(said: Any) -> bool:
    """Whether a value holds more than MOST others, each counted as often as it is held: few lines of YAML can hold any number."""
    waiting, size = [said], 0
    while waiting and size <= MOST:
        one = waiting.pop()
        size += 1
        waiting += one.values() if isinstance(one, Mapping) else one if isinstance(one, list) else ()
    return size > MOST


def _named(said: Any) -> Iterator[tuple[str, str]]:
    """(key, name) of every file, pattern or folder that a data set's description names as its own."""
    if isinstance(said, Mapping):
        for config in said["configs"] if isinstance(said.get("configs"), list) else ():
            for key in NAMES_FILES if isinstance(config, Mapping) else ():
                yield from ((key, name) for name in _texts(config.get(key)))


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value of data_files; of {split, path} the path."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if not (key == "split" and "path" in value):
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _of_a_model(folder: Path) -> Iterator[str]:
    """Weights, a base and a tokenizer's files, as the files of a model or an adapter name them."""
    for file in sorted(folder.glob(f"*{INDEX}")):
        said = _json(file)
        weights = said.get("weight_map") if isinstance(said, Mapping) else None
        for name in sorted(set(map(str, weights.values()))) if isinstance(weights, Mapping) else ():
            if not is_inside(name):
                yield f"{file}: names the weights {name!r}, which are outside its folder; copy the model again"
    said = _json(folder / "tokenizer_config.json")
    files = said.items() if isinstance(said, Mapping) else ()
    for key, name in ((key, name) for key, value in files if str(key).endswith("_file") for name in _texts(value)):
        if not is_inside(name):
            yield f"{folder / 'tokenizer_config.json'}: {key} names {name!r}, which is outside its folder; leave it out"
    if (folder / "config.json").is_file() and (folder / "adapter_config.json").is_file():
        said = _json(folder / "adapter_config.json")
        base = said.get("base_model_name_or_path") if isinstance(said, Mapping) else None
        if base:
            yield (
                f"{folder / 'adapter_config.json'}: an adapter beside a model, for which transformers loads the base {base!r} "
                "instead; put the adapter into a folder of its own and name it with --set model.adapter=FOLDER"
            )


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _roots(base: Path) -> list[Path]:
    """Where the files of a folder may lie: in it, and for a folder of the hub's cache in the `blobs` beside it."""
    return [base, base.parent.parent / "blobs"] if base.parent.name == "snapshots" else [base]


def _links(folder: Path, mirror: Path) -> Iterator[str]:
    """Links to files outside, and what is no file at all. A folder of the hub's cache is one of links to the `blobs` beside it,
    and stays usable.
    """
    try:
        top, base = mirror.resolve(), folder.resolve()
    except (RuntimeError, OSError):
        yield f"{folder}: is a link that leads in a circle; copy the folder into the mirror"
        return
    if not base.is_relative_to(top):
        yield f"{folder}: is a link to {base}, which is outside the mirror; copy the folder into it"
        return
    roots = _roots(base)
    for here, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = Path(here, name)
            if not path.is_symlink():
                if not (path.is_dir() or path.is_file()):
                    yield f"{path}: neither a file nor a folder; remove it"
                continue
            try:
                end = path.resolve()
            except (RuntimeError, OSError):
                yield f"{path}: is a link that leads in a circle; copy the file to its place"
                continue
            if not any(end.is_relative_to(root) for root in roots):
                yield f"{path}: is a link to {end}, which is outside its folder; copy the file into it"


# ---------------------------------------------------------------- what is found


@contextlib.contextmanager
def loading(mirror: Path) -> Iterator[None]:
    """Within, the library datasets reads of a data set in the mirror the files in its folder, and decodes no column.

    A column of pictures or sounds holds paths or addresses, which decoding would open; no text is in one.
    """
    import datasets
    import datasets.load

    found, whole = datasets.load.load_dataset_builder, datasets.load_dataset

    @functools.wraps(found)
    def checked(path: str, *arguments: Any, **named: Any) -> Any:
        folder = mirror / path
        if folder.is_dir():
            for said in leading_out(folder, mirror):
                raise UserError(said)
        builder = found(path, *arguments, **named)
        if folder.is_dir():
            _check_files(builder, folder)
        return builder

    @functools.wraps(whole)
    def undecoded(*arguments: Any, **named: Any) -> Any:
        return _undecoded(whole(*arguments, **named))

    with (
        mock.patch.object(datasets.load, "load_dataset_builder", checked),
        mock.patch.object(datasets, "load_dataset", undecoded),
    ):
        yield


def _check_files(builder: Any, folder: Path) -> None:
    """Raises UserError where a builder would read a file that is outside the data set's folder."""
    roots = _roots(folder.resolve())
    for files in (builder.config.data_files or {}).values():
        for name in files:
            if "://" in str(name) or not any(Path(str(name)).resolve().is_relative_to(root) for root in roots):
                raise UserError(f"{folder}: names {str(name)!r} as its data, which is outside its folder; put the files into it")


def _undecoded(loaded: Any) -> Any:
    """A loaded data set, or several by split, whose columns of pictures, sounds and the like are left as they are stored."""
    from datasets import Dataset, DatasetDict, Features
    from datasets.features.features import _visit

    if isinstance(loaded, DatasetDict):
        return DatasetDict({split: _undecoded(table) for split, table in loaded.items()})
    if not isinstance(loaded, Dataset):
        return loaded

    def plain(feature: Any) -> Any:
        opens = getattr(feature, "decode", False) and getattr(feature, "_type", "") not in KEPT
        return dataclasses.replace(feature, decode=False) if opens else feature

    features = Features({name: _visit(feature, plain) for name, feature in loaded.features.items()})
    return loaded if features == loaded.features else loaded.cast(features)


KEPT = ("Json",)  # decoded without opening anything
