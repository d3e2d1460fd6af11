"""What pydantic found wrong with a file of settings, as one clause that names key, value and what was expected."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import did_you_mean

UNION_MEMBERS = (
    "float",
    "int",
    "list[float]",
    "list[int]",
    "str",
    "list[str]",
    "constrained-int",
)  # what pydantic adds to a key's place


def format_error(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding of a pydantic error as one clause: key, value, expectation, near miss."""
    details = relevant_error(error)
    location = [str(part) for part in details["loc"]]
    key = error_key(details)
    if details["type"] in ("model_type", "dict_type") and len(location) == 1:
        return f"{key}={details['input']!r}: expected a section, as in [{key}] with a line KEY = VALUE below it"
    if details["type"] == "extra_forbidden":
        owner: Any = model
        for word in location[:-1]:
            owner = owner.model_fields[word].annotation
        return f'unknown setting "{key}"{did_you_mean(location[-1], owner.model_fields)}'
    if details["type"] == "value_error":  # said by a check of this house, which names what it found
        return f"{key}: {details['msg'].removeprefix('Value error, ')}"
    return f"{key}={details['input']!r}: {details['msg'].lower()}"


def relevant_error(error: ValidationError) -> Any:
    all_details = error.errors()
    # of a key that may be one of several kinds every kind says something; what is wrong with the right kind says most
    alternatives = [
        f for f in all_details if f["loc"][:-1] == all_details[0]["loc"][:-1] and f["loc"][-1] in UNION_MEMBERS
    ] or all_details[:1]
    return min(alternatives, key=lambda finding: finding["type"].endswith(("_type", "_parsing")))


def error_key(details: Any) -> str:
    return ".".join(word for word in map(str, details["loc"]) if word not in UNION_MEMBERS)
