"""Which names may become files, folders and csv cells: none leads out of its folder, none is run by a spreadsheet."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from harness.errors import UserError

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_RULE = "letters, digits, '.', '_' and '-' only, at most 100, beginning with a letter or digit"
# The store's own: an unfinished phase, an abandoned one, one set aside as damaged, an unfinished file.
RESERVED_SUFFIXES = (".partial", ".abandoned", ".damaged", ".tmp")
# What a spreadsheet takes for a formula, and the wide forms of it.
FORMULA_STARTS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
# Folders of a run beside its variants'; "initial" is also the untouched policy in every table.
RESERVED_FOLDERS = frozenset({"initial", "data", "facts", "judgements", "objectives", "plots", "tables"})


def is_safe_name(text: str) -> bool:
    """Whether a text can name one file or folder, and none elsewhere."""
    return bool(NAME_PATTERN.fullmatch(text)) and not text.endswith(RESERVED_SUFFIXES)


def _check_name(text: str) -> str:
    if not is_safe_name(text):
        raise ValueError(f"becomes the name of a file: {NAME_RULE}, not ending in {', '.join(RESERVED_SUFFIXES)}")
    return text


def _check_label(text: str) -> str:
    if text.lstrip().startswith(FORMULA_STARTS):
        raise ValueError(f"{text!r} becomes a csv cell, which a spreadsheet would run as a formula; begin it with a letter")
    return text


FileName = Annotated[str, AfterValidator(_check_name)]  # begins with a letter or digit, so it is a Label too
Label = Annotated[str, AfterValidator(_check_label)]


def join_inside(folder: Path, relative: str, source: str) -> Path:
    """`folder / relative`. Raises UserError, which names `source`, when that could lie outside."""
    path = PurePosixPath(relative)
    if path.is_absolute() or "\\" in relative or "\0" in relative or ".." in path.parts:
        raise UserError(f"{source}: names {relative!r}, which could leave {folder}; nothing of it is used")
    return folder / path
