"""What pydantic found wrong with a file of settings, as one clause that names key, value and what was expected."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from harness.errors import did_you_mean

UNION = ("float", "int", "list[float]", "list[int]", "str", "list[str]", "constrained-int")  # what pydantic adds to a key's place


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first finding of a pydantic error as one clause: key, value, expectation, near miss."""
    first = finding_of(error)
    words = [str(part) for part in first["loc"]]
    key = key_of(first)
    if first["type"] in ("model_type", "dict_type") and len(words) == 1:
        return f"{key}={first['input']!r}: expected a section, as in [{key}] with a line KEY = VALUE below it"
    if first["type"] == "extra_forbidden":
        owner: Any = model
        for word in words[:-1]:
            owner = owner.model_fields[word].annotation
        return f'unknown setting "{key}"{did_you_mean(words[-1], owner.model_fields)}'
    if first["type"] == "value_error":  # said by a check of this house, which names what it found
        return f"{key}: {first['msg'].removeprefix('Value error, ')}"
    return f"{key}={first['input']!r}: {first['msg'].lower()}"


def finding_of(error: ValidationError) -> Any:
    findings = error.errors()
    # of a key that may be one of several kinds every kind says something; what is wrong with the right kind says most
    same = [f for f in findings if f["loc"][:-1] == findings[0]["loc"][:-1] and f["loc"][-1] in UNION] or findings[:1]
    return min(same, key=lambda finding: finding["type"].endswith(("_type", "_parsing")))


def key_of(finding: Any) -> str:
    return ".".join(word for word in map(str, finding["loc"]) if word not in UNION)
