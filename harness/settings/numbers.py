"""Numbers as text, and the plain values in a tree of settings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any

NOT_FINITE = "expected a finite number (a large one, such as 1000000, where no limit is meant)"
MAX_INT = 2**63 - 1  # the largest integer of torch, numpy and pandas


def parse_number(text: str) -> int | float | None:
    """The number that a text spells in ASCII digits, else None. `inf` and `nan` are parsed, so that a message can name them."""
    if text.isascii() and len(text) < 400:
        for number_type in (int, float):
            with contextlib.suppress(ValueError):
                return number_type(text)
    return None


def storage_problem(value: Any) -> str | None:
    """Why run.json could not hold a value of any type; None where it can."""
    for _, leaf in iter_leaves(value):
        if isinstance(leaf, date | time):
            return f"{leaf} is a date or a time; put it in quotes where a text is meant"
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return NOT_FINITE
    return None


def iter_leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value in a tree with its dotted key; names of keys are values too."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield key or "a key", name
            yield from iter_leaves(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from iter_leaves(inner, key)
    else:
        yield key, value


def iter_text(tree: Any) -> Iterator[tuple[str, str]]:
    """The texts among `iter_leaves(tree)`."""
    return ((key, value) for key, value in iter_leaves(tree) if isinstance(value, str))
