"""pydantic's errors on a file of settings as one clause that names key, value and what was expected."""

from __future__ import annotations

import math
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import did_you_mean
from harness.settings.numbers import NOT_FINITE

# Names of union members, which pydantic adds to the location of a key.
SCALARS = ("float", "str", "bool", "constrained-int")
UNION_MEMBERS = (*SCALARS, *(f"list[{name}]" for name in SCALARS), "literal['auto']")

WHOLE_NUMBER = "expected a whole number, written without a point"
EXPECTED = {
    "int_type": WHOLE_NUMBER,
    "int_from_float": WHOLE_NUMBER,
    "float_type": "expected a number, written without quotes",
    "bool_type": "expected true or false",
    "string_type": "expected a text",
    "list_type": "expected a list, such as [0, 1, 2]",
    "tuple_type": "expected a list, such as [0, 1, 2]",
    "finite_number": NOT_FINITE,
}


def format_error(error: ValidationError, model: type[BaseModel]) -> str:
    """A pydantic error as one clause: key, value, expectation, near miss."""
    details = relevant_error(error)
    location = [str(part) for part in details["loc"]]
    key = error_key(details)
    if details["type"] in ("model_type", "dict_type") and len(location) == 1:
        return f"{key}={details['input']!r}: expected a section, as in [{key}] with a line KEY = VALUE below it"
    if details["type"] == "extra_forbidden":
        owner: Any = model
        for word in location[:-1]:
            if not word.isdigit():  # an entry of a list
                annotation = owner.model_fields[word].annotation
                owner = next(kind for kind in (annotation, *typing.get_args(annotation)) if hasattr(kind, "model_fields"))
        return f'unknown setting "{key}"{did_you_mean(location[-1], owner.model_fields)}'
    if details["type"] == "value_error":  # raised by our own validators, whose message already names the value
        return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    value = details["input"]
    is_endless = isinstance(value, float) and not math.isfinite(value)
    expectation = NOT_FINITE if is_endless else EXPECTED.get(details["type"], details["msg"].lower())
    return f"{key}={str(value).lower() if isinstance(value, bool) else repr(value)}: {expectation}"


def relevant_error(error: ValidationError) -> Any:
    """The first error. A union yields one per member type: then the one that is more than a type mismatch, or the deepest."""
    errors = error.errors()
    key = error_key(errors[0])
    alternatives = [details for details in errors if f"{error_key(details)}.".startswith(f"{key}.")]
    return min(alternatives, key=lambda details: (details["type"].endswith(("_type", "literal_error")), -len(details["loc"])))


def error_key(details: Any) -> str:
    """The dotted key that an error is about."""
    return ".".join(word for word in map(str, details["loc"]) if word not in UNION_MEMBERS)
