"""Numbers as they are meant: no truth value and no text in place of one, no nan or infinity, whole numbers written whole.

A library that reads settings is kinder: true is 1 to it, "5" is 5, 9007199254740993.0 is 9007199254740992, 1e400 is infinite.
"""

from __future__ import annotations

import math
import re
import typing
from collections.abc import Mapping
from datetime import date, time
from typing import Any

NOT_FINITE = "expected a finite number (a large one, such as 1000000, where no limit is meant)"
TRUTH_VALUES = frozenset({"true", "false", "yes", "no", "on", "off"})
MAX_INT = 2**63 - 1  # of the whole numbers that torch, numpy and pandas hold
INTEGER_PATTERN = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*")
FLOAT_PATTERN = re.compile(
    r"[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:inf|nan)", re.IGNORECASE
)


def parse_number(text: str) -> int | float | None:
    """The number that a text is, in digits of ASCII; None where it is none. `inf` and `nan` are read, to be refused by name."""
    stripped = text.strip()
    if len(stripped) < 400 and INTEGER_PATTERN.fullmatch(stripped):
        return int(stripped)
    return float(stripped) if len(stripped) < 400 and FLOAT_PATTERN.fullmatch(stripped) else None


def number_problem(value: Any, annotation: Any) -> str | None:
    """What of a value is no number where a setting of this annotation takes one; None where nothing is, or it takes none."""
    allowed_types = set(_iter_types(annotation))
    if bool in allowed_types and not allowed_types & {int, float}:
        return _no_truth_value(value, str in allowed_types)
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


def _no_truth_value(value: Any, texts: bool) -> str | None:
    """What of a value is neither true nor false; 0, 1 and a text of digits are not either. texts: it may be a word as well."""
    for one in leaves(value):
        if isinstance(one, (int, float)) and not isinstance(one, bool):
            return "a number, expected true or false"
        if isinstance(one, str) and (parse_number(one) is not None if texts else one.lower() not in TRUTH_VALUES):
            return "a text, expected true or false"
    return None


def what_is_not_kept(value: Any) -> str | None:
    """What of a value, of whatever kind it may be, the record of a run could not hold; None where nothing is."""
    for one in leaves(value):
        if isinstance(one, date | time):
            return f"{one} is a date or a time; put it in quotes where a text is meant"
        if isinstance(one, float) and not math.isfinite(one):
            return NOT_FINITE
    return None


def _iter_types(annotation: Any) -> typing.Iterator[Any]:
    """The types of the values that an annotation speaks of, in lists and unions too; those of a literal's values."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from map(type, typing.get_args(annotation))
    elif inner := typing.get_args(annotation):
        first_argument = 1 if typing.get_origin(annotation) is dict else 0  # the keys of a table are names
        for argument in inner[first_argument:] if typing.get_origin(annotation) is not typing.Annotated else inner[:1]:
            yield from _iter_types(argument)
    else:
        yield annotation


def leaves(value: Any) -> typing.Iterator[Any]:
    """What is in lists and tables at any depth, or the value itself."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value
