"""A folder of data files -> those of one split, by the names of files and folders as `datasets` and its users write them.

train.jsonl, train-00000-of-00002.parquet, train_0.csv, data/train.jsonl, train/part-1.jsonl, default/train/0000.parquet,
squad-train.jsonl: the split train; train_sft-00000-of-00003.parquet: the split train_sft
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import UserError
from harness.files import walk

DATA_SUFFIXES = (".jsonl", ".csv", ".parquet")
SPLIT_NAMES = {  # as in `datasets`
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
SPLIT_OF_NAME = {word: split for split, words in SPLIT_NAMES.items() for word in words}
# What distinguishes the parts of one split: -00000-of-00002, with a hash behind it or without; _0; .part3
SHARD_SUFFIX = re.compile(r"(?:^|[-_. ])(?:part|shard|chunk)?[-_. ]?\d+(?:[-_.]of[-_.]\d+(?:[-_.][0-9a-f]{16})?)?$")
MAX_LISTED = 6  # files named in a line


def files_of_split(folder: Path, split: str, config: str | None = None) -> list[Path]:
    """The files of a split in the order of their names.

    A folder of which no file is named after a split is the split `train`, if it is one file or the numbered parts of one. Raises
    UserError, listing the files, where none is of the split, or several could be.
    """
    if config is not None and (folder / config).is_dir():
        folder = folder / config
    elif config is not None:
        raise UserError(f"data {folder}: has no sub-folder {config!r}; leave data.config out, or name another")
    paths = sorted(path.relative_to(folder) for path in walk(folder) if path.is_file())
    paths = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    # a .json in a data set's folder is as often a description of it, unless it is called after a split
    known = {*SPLIT_OF_NAME, split}
    files = [p for p in paths if p.suffix in DATA_SUFFIXES or (p.suffix == ".json" and _without_shard(p.stem) in known)]
    if not files:
        listing = f"; it has {_join_paths(paths)}; give a file" if paths else ""
        raise UserError(f"data {folder}: holds no {', '.join(DATA_SUFFIXES)} file{listing}")
    labels = {path: label for path in files if (label := _split_label(path, split)) is not None}
    matches = [path for path, label in labels.items() if _names_split(label, split)]
    if not matches:
        matches = [path for path, label in labels.items() if _contains_split_name(label, split)]
        if len({labels[path] for path in matches}) > 1:
            raise UserError(
                f"data {folder}: several files could be the split {split!r}: {_join_paths(matches)}; name one with "
                f"--set data.split={labels[matches[0]]}, or give a file"
            )
    if not matches and split == "train" and not labels and len({_without_shard(path.stem) for path in files}) == 1:
        matches = files
    if not matches:
        other = next(iter(labels.values()), None)
        hint = f"name another with --set data.split={other} (of data.heldout: data.heldout_split), or " if other else ""
        raise UserError(
            f"data {folder}: no file is called after the split {split!r}; it has {_join_paths(files)}; {hint}give a file"
        )
    return [folder / path for path in matches]


def _without_shard(stem: str) -> str:
    """A file's name without its part number."""
    stem = stem.lower()
    while (shorter := SHARD_SUFFIX.sub("", stem)) != stem:
        stem = shorter
    return stem


def _split_label(path: Path, split: str) -> str | None:
    """What names a file's split: its own name, else that of the innermost folder that is called after one; None: nothing does."""
    if path.stem == split:
        return split
    for part in (_without_shard(path.stem), *(part.lower() for part in reversed(path.parts[:-1]))):
        if _names_split(part, split) or any(_contains_split_name(part, known) for known in (split, *SPLIT_NAMES)):
            return part
    return None


def _names_split(label: str, split: str) -> bool:
    return label in SPLIT_NAMES.get(split, (split.lower(),)) or label == split or label.startswith((f"{split}-", f"{split}."))


def _contains_split_name(label: str, split: str) -> bool:
    """Whether one of a split's names stands in a text as a word."""
    words = "|".join(map(re.escape, SPLIT_NAMES.get(split, (split.lower(),))))
    return re.search(rf"(?:^|[-_. ])(?:{words})(?:[-_. ]|$)", label) is not None


def _join_paths(paths: list[Path]) -> str:
    num_more = len(paths) - MAX_LISTED
    return ", ".join(map(str, paths[:MAX_LISTED])) + (f" and {num_more} more" if num_more > 0 else "")
