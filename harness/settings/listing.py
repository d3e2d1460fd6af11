"""The settings of a model as a list: key, type, default, unit and meaning, from its fields alone."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

TYPE_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", dict: "table", type(None): "none"}


def list_settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(`key = default`, type, unit and meaning) of every setting, those of its sections behind their own heading."""
    for name, field in model.model_fields.items():
        annotation, extra = field.annotation, field.json_schema_extra
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield f"[{name}]", (annotation.__doc__ or "").partition("\n\n")[0]
            yield from list_settings(annotation, f"{prefix}{name}.")
            continue
        unit = extra.get("unit") if isinstance(extra, dict) else ""
        kind = format_type(annotation) + (f", {unit}" if unit else "")
        yield f"{prefix}{name} = {_format_default(field.default)}", f"{field.description} ({kind})"


def format_type(annotation: Any) -> str:
    """An annotation in words: `number or list of number`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(map(_format_default, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(format_type, arguments))
    if origin is typing.Annotated:
        return format_type(arguments[0])
    if origin is list:
        return f"list of {format_type(arguments[0])}"
    return TYPE_NAMES[origin or annotation]


def _format_default(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
