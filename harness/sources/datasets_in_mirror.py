"""The library datasets, held to a mirror: data sets are found under their hub ids, and nothing outside their folders is read."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harness.errors import UserError
from harness.sources.confinement import folder_roots, outside_references
from harness.sources.mirror import cached_snapshot, data_item, is_hub_id

SAFE_FEATURE_TYPES = ("Json",)  # decoded without opening anything


@contextlib.contextmanager
def in_mirror(mirror: Path | None) -> Iterator[None]:
    """Within, data sets are read from their folders in the mirror alone, and no column is decoded; without one, change nothing.

    A column of pictures or sounds holds paths or addresses, which decoding would open; no text is in one.
    """
    if mirror is None:
        yield
        return
    if not mirror.is_dir():
        raise UserError(f"--mirror {mirror}: no such folder")
    import datasets
    import datasets.load

    load_builder, load_dataset = datasets.load.load_dataset_builder, datasets.load_dataset

    @functools.wraps(load_builder)
    def checked_load_builder(path: str, *args: Any, **kwargs: Any) -> Any:
        folder = mirror / path
        if not folder.is_dir() and is_hub_id(path) and (snapshot := cached_snapshot(mirror, data_item(path, heldout=False))):
            folder, path = snapshot, str(snapshot)
        if not folder.is_dir():
            return load_builder(path, *args, **kwargs)
        for problem in outside_references(folder, mirror):
            raise UserError(problem)
        builder = load_builder(path, *args, **kwargs)
        _check_files(builder, folder)
        return builder

    @functools.wraps(load_dataset)
    def undecoded_load_dataset(*args: Any, **kwargs: Any) -> Any:
        return _without_decoding(load_dataset(*args, **kwargs))

    with (
        contextlib.chdir(mirror),
        mock.patch.object(datasets.load, "load_dataset_builder", checked_load_builder),
        mock.patch.object(datasets, "load_dataset", undecoded_load_dataset),
    ):
        yield


def _check_files(builder: Any, folder: Path) -> None:
    """Raises UserError where a builder would read a file that is outside the data set's folder."""
    roots = folder_roots(folder.resolve())
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
