"""What may become the name of a file or folder, so that nothing named in a recipe, suite or record leaves its folder."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator

from harness.errors import UserError

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_RULE = "letters, digits, '.', '_' and '-' only, at most 100, beginning with a letter or digit"
# Of the store's own: a phase in the making, one given up, one set aside as damaged, a file in the making.
RESERVED_SUFFIXES = (".partial", ".abandoned", ".damaged", ".tmp")
# What a run folder has beside its variants; "initial" names the untouched policy in every table too.
RESERVED_FOLDERS = frozenset({"initial", "data", "facts", "judgements", "objectives", "plots", "tables"})


def is_safe_name(text: str) -> bool:
    """Whether a text can name one file or folder, and only there where it is put."""
    return bool(NAME_PATTERN.fullmatch(text)) and not text.endswith(RESERVED_SUFFIXES)


def _check_name(text: str) -> str:
    if not is_safe_name(text):
        raise ValueError(f"becomes the name of a file: {NAME_RULE}, not ending in {', '.join(RESERVED_SUFFIXES)}")
    return text


FileName = Annotated[str, AfterValidator(_check_name)]


def join_inside(folder: Path, relative: str, source: str) -> Path:
    """`folder / relative`. Raises UserError, naming `whose` words these are, when that could lie outside."""
    path = PurePosixPath(relative)
    if path.is_absolute() or "\\" in relative or "\0" in relative or ".." in path.parts:
        raise UserError(f"{source}: names {relative!r}, which could leave {folder}; nothing of it is used")
    return folder / path
