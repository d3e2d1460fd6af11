"""How a setting is written: one line in a section, from which help, documentation, validation and record follow."""

from __future__ import annotations

import typing
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from harness.settings.numbers import MAX_INT, iter_leaves


def setting(default: Any, help_text: str, unit: str = "", *, speed_only: bool = False, **limits: Any) -> Any:
    """A setting: its default, what it means, its unit, and limits as pydantic's Field has them.

    With its annotation this is all there is to write: help, documentation, validation and run.json follow from it. speed_only:
    results change by rounding at most, so that a run may go on with another value.
    """
    return Field(default, description=help_text, json_schema_extra={"unit": unit, "speed_only": speed_only}, **limits)


class Section(BaseModel):
    """One section of a recipe: immutable, no unknown keys, and numbers only where numbers are meant.

    strict: pydantic would read true as 1, "5" as 5 and 9007199254740993.0 as 9007199254740992.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    SPEED_ONLY: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        cls.SPEED_ONLY = frozenset(name for name, extra in extras.items() if isinstance(extra, dict) and extra["speed_only"])

    @field_validator("*", mode="before")
    @classmethod
    def _make_tuple(cls, value: Any, info: ValidationInfo) -> Any:
        """A tuple of the list that TOML and JSON have in its place."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        is_tuple = any(typing.get_origin(kind) is tuple for kind in (annotation, *typing.get_args(annotation)))
        return tuple(value) if is_tuple and isinstance(value, list) else value

    @field_validator("*", mode="before")
    @classmethod
    def _check_integers(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)  # which checks its own
        for _, leaf in () if is_section else iter_leaves(value):
            if isinstance(leaf, int) and abs(leaf) > MAX_INT:
                number = leaf if abs(leaf) < 10**40 else "a number"
                raise ValueError(f"{number} is larger than {MAX_INT}, the largest whole number that is kept exactly")
        return value

    def identity_fields(self) -> dict[str, Any]:
        """The settings that change results."""
        return self.model_dump(exclude=set(self.SPEED_ONLY))
