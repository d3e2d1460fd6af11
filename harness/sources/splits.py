"""A folder of data files -> those of one split, by the names of files and folders as `datasets` and its users write them.

train.jsonl, train-00000-of-00002.parquet, train_0.csv, data/train.jsonl, train/part-1.jsonl, default/train/0000.parquet,
squad-train.jsonl: the split train; train_sft-00000-of-00003.parquet: the split train_sft
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.errors import UserError
from harness.files import walk

IN_FOLDERS = (".jsonl", ".csv", ".parquet")
SAME = {  # as in `datasets`
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
WORDS = {word: split for split, words in SAME.items() for word in words}
# What tells the parts of one split apart: -00000-of-00002, with a hash behind it or without; _0; .part3
SHARD = re.compile(r"(?:^|[-_. ])(?:part|shard|chunk)?[-_. ]?\d+(?:[-_.]of[-_.]\d+(?:[-_.][0-9a-f]{16})?)?$")
LISTED = 6  # files named in a line


def files_of_split(folder: Path, split: str, config: str | None = None) -> list[Path]:
    """The files of a split in the order of their names.

    A folder of which no file is named after a split is the split `train`, if it is one file or the numbered parts of one. Raises
    UserError, listing the files, where none is of the split, or it cannot be told which are.
    """
    if config is not None and (folder / config).is_dir():
        folder = folder / config
    elif config is not None:
        raise UserError(f"data {folder}: has no sub-folder {config!r}; leave data.config out, or name another")
    inside = sorted(path.relative_to(folder) for path in walk(folder) if path.is_file())
    inside = [path for path in inside if not any(part.startswith(".") for part in path.parts)]
    # a .json in a data set's folder is as often a description of it, unless it is called after a split
    files = [p for p in inside if p.suffix in IN_FOLDERS or (p.suffix == ".json" and _base(p.stem) in (*WORDS, split))]
    if not files:
        there = f"; it has {_listed(inside)}; give a file" if inside else ""
        raise UserError(f"data {folder}: holds no {', '.join(IN_FOLDERS)} file{there}")
    labels = {path: _label(path, split) for path in files}
    found = [path for path, label in labels.items() if label is not None and _is_split(label, split)]
    if not found:
        found = [path for path, label in labels.items() if label is not None and _holds(label, split)]
        if len({labels[path] for path in found}) > 1:
            raise UserError(
                f"data {folder}: several files could be the split {split!r}: {_listed(found)}; name one with "
                f"--set data.split={labels[found[0]]}, or give a file"
            )
    if not found and split == "train" and not any(labels.values()) and len({_base(path.stem) for path in files}) == 1:
        found = files
    if not found:
        named = next((label for label in labels.values() if label is not None), None)
        raise UserError(
            f"data {folder}: no file is called after the split {split!r}; it has {_listed(files)}; "
            + (f"name another with --set data.split={named} (of data.heldout: data.heldout_split), or " if named else "")
            + "give a file"
        )
    return [folder / path for path in found]


def _base(stem: str) -> str:
    """A file's name without what numbers it."""
    stem = stem.lower()
    while (shorter := SHARD.sub("", stem)) != stem:
        stem = shorter
    return stem


def _label(path: Path, split: str) -> str | None:
    """What names a file's split: its own name, else that of the innermost folder that is called after one; None: nothing does."""
    if path.stem == split:
        return split
    for part in (_base(path.stem), *(part.lower() for part in reversed(path.parts[:-1]))):
        if _is_split(part, split) or _holds(part, split) or any(_holds(part, known) for known in SAME):
            return part
    return None


def _is_split(label: str, split: str) -> bool:
    return label in SAME.get(split, (split.lower(),)) or label == split or label.startswith((f"{split}-", f"{split}."))


def _holds(label: str, split: str) -> bool:
    """Whether one of a split's names stands in a text as a word."""
    words = "|".join(map(re.escape, SAME.get(split, (split.lower(),))))
    return re.search(rf"(?:^|[-_. ])(?:{words})(?:[-_. ]|$)", label) is not None


def _listed(paths: list[Path]) -> str:
    more = len(paths) - LISTED
    return ", ".join(map(str, paths[:LISTED])) + (f" and {more} more" if more > 0 else "")
