"""How a setting is written: one line in a section, from which help, documentation, validation and record follow."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from harness.settings.numbers import number_problem


def setting(default: Any, help_text: str, unit: str = "", *, speed_only: bool = False, **limits: Any) -> Any:
    """A setting: its default, what it means, its unit, and limits as pydantic's Field has them.

    With its annotation this is all there is to write: help, documentation, validation and run.json follow from it. speed_only:
    results change by rounding at most, so that a run may go on with another value.
    """
    return Field(default, description=help_text, json_schema_extra={"unit": unit, "speed_only": speed_only}, **limits)


class Section(BaseModel):
    """One section of a recipe: immutable, no unknown keys, and numbers only where numbers are meant."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    SPEED_ONLY: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        extras = {name: field.json_schema_extra for name, field in cls.model_fields.items()}
        cls.SPEED_ONLY = frozenset(name for name, extra in extras.items() if isinstance(extra, dict) and extra["speed_only"])

    @field_validator("*", mode="before")
    @classmethod
    def _check_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        problem = number_problem(value, cls.model_fields[str(info.field_name)].annotation)
        if problem is not None:
            raise PydanticCustomError("number", problem)  # type: ignore[arg-type]  # the message contains no untrusted text
        return value

    def identity_fields(self) -> dict[str, Any]:
        """The settings that change results."""
        return self.model_dump(exclude=set(self.SPEED_ONLY))
