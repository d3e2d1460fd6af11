"""Strict numbers: no boolean and no text in place of one, no nan or infinity, integers written without a point.

pydantic alone is more lenient: it reads true as 1, "5" as 5, 9007199254740993.0 as 9007199254740992, 1e400 as infinity.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Mapping
from datetime import date, time
from typing import Any

NOT_FINITE = "expected a finite number (a large one, such as 1000000, where no limit is meant)"
BOOLEAN_WORDS = frozenset({"true", "false", "yes", "no", "on", "off"})
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


def number_problem(value: Any, annotation: Any) -> str | None:
    """Why a value is no number of a setting's annotated type; None where it is one, or the setting takes no numbers."""
    allowed_types = set(_iter_types(annotation))
    if bool in allowed_types and not allowed_types & {int, float}:
        return _boolean_problem(value, str in allowed_types)
    if Any in allowed_types or not allowed_types & {int, float}:
        return None
    for leaf in leaves(value):
        if isinstance(leaf, bool):
            if bool not in allowed_types:
                return f"{str(leaf).lower()} is not a number"
        elif isinstance(leaf, str):
            if str not in allowed_types:
                return f"a text, expected {'a number' if float in allowed_types else 'an integer'}"
        elif isinstance(leaf, float):
            if not math.isfinite(leaf):
                return NOT_FINITE
            if float not in allowed_types:
                return "expected an integer, written without a point"
        elif isinstance(leaf, int) and abs(leaf) > MAX_INT:
            return f"larger than {MAX_INT}, the largest whole number that is kept exactly"
    return None


def _boolean_problem(value: Any, allows_text: bool) -> str | None:
    """Why a value is neither true nor false; 0, 1 and a text of digits are not. allows_text: the setting takes words too."""
    for leaf in leaves(value):
        if isinstance(leaf, (int, float)) and not isinstance(leaf, bool):
            return "a number, expected true or false"
        if isinstance(leaf, str) and (parse_number(leaf) is not None if allows_text else leaf.lower() not in BOOLEAN_WORDS):
            return "a text, expected true or false"
    return None


def storage_problem(value: Any) -> str | None:
    """Why run.json could not hold a value of any type; None where it can."""
    for leaf in leaves(value):
        if isinstance(leaf, date | time):
            return f"{leaf} is a date or a time; put it in quotes where a text is meant"
        if isinstance(leaf, float) and not math.isfinite(leaf):
            return NOT_FINITE
    return None


def _iter_types(annotation: Any) -> typing.Iterator[Any]:
    """The types of values in an annotation: inside lists and unions too, and those of a Literal's values."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from map(type, typing.get_args(annotation))
    elif inner := typing.get_args(annotation):
        first_argument = 1 if typing.get_origin(annotation) is dict else 0  # the keys of a table are names
        for argument in inner[first_argument:] if typing.get_origin(annotation) is not typing.Annotated else inner[:1]:
            yield from _iter_types(argument)
    else:
        yield annotation


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
