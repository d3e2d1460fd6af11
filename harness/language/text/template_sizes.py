"""How large a value one step of a Jinja template would make or compare, measured before it does."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from jinja2 import TemplateError

MAX_LENGTH = 10_000_000  # characters of a text, elements of a list
MAX_BITS = 1_000_000  # of a whole number; a division of such numbers takes a second
LARGE_NUMBER = re.compile(r"\d{7,}")
SIZED = ("center", "ljust", "rjust", "zfill", "expandtabs", "to_bytes")
FORMAT_METHODS = ("format", "format_map")


class TemplateLimitExceeded(TemplateError):
    """A rendering that would not end, or end with too long a text."""


def joined(parts: Iterable[str]) -> str:
    checked_parts, length = [], 0
    for part in parts:
        length += len(part)
        check_size(length)
        checked_parts.append(part)
    return "".join(checked_parts)


def check_size(size: int) -> None:
    if size > MAX_LENGTH:
        raise TemplateLimitExceeded(f"it makes something of more than {MAX_LENGTH:,} characters")


def size_of(value: Any) -> int:
    """Characters and elements of a value with all it holds, each as often as it is held; counted until there are too many."""
    if isinstance(value, (str, bytes)):
        return len(value)
    size, waiting = 0, [value]
    while waiting and size <= MAX_LENGTH:
        inner = waiting.pop()
        size += 1
        if isinstance(inner, (str, bytes)):
            size += len(inner)
        elif isinstance(inner, dict):
            waiting += [*inner.keys(), *inner.values()]
        elif isinstance(inner, (list, tuple, set, frozenset)):
            waiting += inner
    return size


def listed(values: Iterable[Any]) -> list[Any]:
    """The values, which a filter may make one by one, as a list of limited size."""
    checked_values, size = [], 0
    for value in values:
        size += size_of(value)
        check_size(size)
        checked_values.append(value)
    return checked_values


def check_whole(bits: int) -> None:
    if bits > MAX_BITS:
        raise TemplateLimitExceeded(f"it makes a number of more than {MAX_BITS:,} bits")


def check_lengths(values: Iterable[Any]) -> None:
    """Numbers given to something that makes a text are lengths."""
    for value in values:
        if isinstance(value, int):
            check_size(abs(value))


def widest(values: Iterable[Any]) -> int:
    return max((abs(value) for value in values if isinstance(value, int)), default=0)


def comparable(value: Any) -> Any:
    """A value that is compared or hashed in one step with all it holds: a few lines make lists within lists of any size."""
    if isinstance(value, (list, tuple, dict, set, frozenset)) and size_of(value) > MAX_LENGTH:
        raise TemplateLimitExceeded(f"it compares more than {MAX_LENGTH:,} elements")
    return value


def check_format(text: str | bytes, values: Any) -> None:
    """Numbers in a format are widths; a value may be filled in as often as the format has fields."""
    pattern = text if isinstance(text, str) else text.decode("latin-1")
    if LARGE_NUMBER.search(pattern):
        check_size(max(int(digits[:20]) for digits in LARGE_NUMBER.findall(pattern)))
    num_fields = max(pattern.count("%"), pattern.count("{"))
    check_size(len(pattern) + num_fields * (size_of(values) if num_fields else 0))


def check_replace(text: str | bytes, old: Any, new: Any) -> None:
    check_size(len(text) + text.count(old) * len(new))


def check_method(owner: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Checks the size of what a method of a text or a number would make; returns its arguments, listed where it takes many."""
    if name in SIZED:
        check_lengths([*arguments, *named.values()])
        if name == "expandtabs":
            tabs = owner.count(b"\t" if isinstance(owner, bytes) else "\t")
            check_size(len(owner) + tabs * widest([*arguments, *named.values()]))
    elif name in FORMAT_METHODS:
        check_lengths([*arguments, *named.values()] if re.search(r":[^}]*\{", str(owner)) else [])  # widths that are given
        check_format(owner, [*arguments, *named.values()])
    elif name == "replace" and len(arguments) > 1:
        check_replace(owner, *arguments[:2])
    elif name == "translate" and arguments and isinstance(arguments[0], dict):
        check_size(len(owner) * max(map(size_of, arguments[0].values()), default=0))
    elif name == "join" and arguments:
        parts = listed(arguments[0])
        check_size(len(owner) * len(parts))
        return (parts, *arguments[1:])
    return arguments
