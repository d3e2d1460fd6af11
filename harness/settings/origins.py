"""Where each setting of a configuration comes from, and in which folder its paths start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from harness.settings.recipe_files import Recipe
from harness.settings.section import Section
from harness.settings.toml_files import find_toml, get_nested, is_given, setting_source
from harness.settings.user_config import short_place


class WithOrigins(Section):
    """All settings of a run, `recipe` among them, and what gave each its value."""

    recipe: str

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)  # dotted key -> what gives it, where that is not the recipe
    _recipe: Recipe | None = PrivateAttr(default=None)  # what the recipe's file says
    _folders: dict[str, Path] = PrivateAttr(default_factory=dict)  # dotted key -> the folder in which its paths start
    _written: dict[str, str] = PrivateAttr(default_factory=dict)  # dotted key -> a path as the recipe has it

    def source_of(self, key: str) -> str:
        """What gives a setting its value: an option, a variable, the user's file, else the recipe's file or its base's, with the
        line."""
        return setting_source(key, self._sources, find_toml("recipes", self.recipe))

    def is_typed(self, key: str) -> bool:
        return key in self._sources

    def folder_of(self, key: str) -> Path | None:
        """The folder in which paths of a setting start: its recipe's; None for the working directory."""
        return self._folders.get(key)

    def origins(self) -> dict[str, str]:
        """Dotted key -> `source_of`, with short paths, for every setting that is not left at its default."""
        recipe_tree = self._recipe.tree if self._recipe else {}
        return {
            key: short_place(self.source_of(key))
            for key in setting_keys(type(self))
            if key != "recipe" and (is_given(key, self._sources) or get_nested(recipe_tree, key) is not None)
        }

    def recorded(self) -> dict[str, Any]:
        """All settings as run.json keeps them: a recipe's paths as they are written, wherever its folder is now."""
        tree = self.model_dump()
        for key, text in self._written.items():
            section, _, name = key.rpartition(".")
            (tree[section] if section else tree)[name] = text
        return tree


def setting_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """The dotted keys of all settings, in the order of the classes above."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from setting_keys(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
