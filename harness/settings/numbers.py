"""Numbers as text, and the plain values that a run's files can hold."""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Mapping
from datetime import date, time
from typing import Any

NOT_FINITE = "expected a finite number (a large one, such as 1000000, where no limit is meant)"
MAX_INT = 2**63 - 1  # the largest integer of torch, numpy and pandas
INTEGER_PATTERN = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*")
FLOAT_PATTERN = re.compile(
    r"[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|nan)", re.IGNORECASE
)


def parse_number(text: str) -> int | float | None:
    """The number that a text spells in ASCII digits, else None. `inf` and `nan` are parsed, so that a message can name them."""
    stripped = text.strip()
    if len(stripped) < 400 and INTEGER_PATTERN.fullmatch(stripped):
        return int(stripped)
    return float(stripped) if len(stripped) < 400 and FLOAT_PATTERN.fullmatch(stripped) else None


def storage_problem(value: Any) -> str | None:
    """Why run.json could not hold a value of any type; None where it can."""
    for leaf in leaves(value):
        if isinstance(leaf, date | time):
            return f"{leaf} is a date or a time; put it in quotes where a text is meant"
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return NOT_FINITE
    return None


def leaves(value: Any) -> typing.Iterator[Any]:
    """The plain values in lists and tables at any depth, or the value itself."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value
