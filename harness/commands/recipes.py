"""Commands that list recipes and settings, and show what a recipe sets and where every value comes from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.commands.console import console, echo, make_table, print_json
from harness.errors import UserError, did_you_mean
from harness.settings.listing import SectionHeading, SettingDescription, describe_settings, format_value
from harness.settings.paths import PACKAGE
from harness.settings.toml_files import find_toml, get_nested
from harness.settings.user_config import short_place

INDENT = "    "


def recipes_list_command(as_json: bool) -> None:
    recipes = [
        {"name": path.stem, "title": _title(path), "path": str(path)}
        for path in sorted((PACKAGE / "recipes").glob("*.toml"), key=lambda path: path.stem)
    ]
    if as_json:
        return print_json(recipes)
    width = max(len(recipe["name"]) for recipe in recipes) + 2
    table = make_table("", ("", ""))
    table.show_header = False
    for recipe in recipes:
        table.add_row(recipe["name"].ljust(width), recipe["title"])
    console.print(table)
    echo("\nOne of them in full: harness recipes show NAME. Run one: harness run --recipe NAME")
    return None


def _title(path: Path) -> str:
    """The comment in a recipe's first line."""
    first_line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    return first_line.removeprefix("#").strip() if first_line.startswith("#") else ""


def recipes_show_command(name: str, as_json: bool) -> None:
    from harness.config import load_config  # pydantic, which takes longer to load than the lists above

    path = find_toml("recipes", name, "recipes show")
    config = load_config(name, sources={"recipe": "recipes show"})
    origins, values = config.origins(), config.model_dump()
    rows = [
        {"key": line.key, "value": get_nested(values, line.key), "unit": line.unit, "source": origins.get(line.key, "default")}
        for line in describe_settings()
        if isinstance(line, SettingDescription) and line.key != "recipe"
    ]
    if as_json:
        return print_json({"name": path.stem, "title": _title(path), "path": str(path), "settings": rows})
    echo(f"{path.stem}: {_title(path)}\n{path}\n")
    table = make_table("", ("setting", "value", "source"))
    table.columns[0].no_wrap = True
    place = short_place(f"{path}: ")
    for row in rows:
        value = " ".join(filter(None, [format_value(row["value"]), row["unit"] if row["value"] is not None else ""]))
        table.add_row(row["key"], value, row["source"].removeprefix(place))
    console.print(table)
    echo("\nline 8: of the recipe. What a setting means: harness settings NAME. Another value: --set NAME=VALUE")
    return None


def settings_command(pattern: str | None, as_json: bool) -> None:
    """The settings whose key or meaning matches, by section. Raises UserError where none does."""
    chosen = list(_matching(pattern))
    if not any(isinstance(line, SettingDescription) for line in chosen):
        keys = [line.key for line in describe_settings() if isinstance(line, SettingDescription)]
        nearest = did_you_mean(str(pattern), {*keys, *(key.rpartition(".")[2] for key in keys)})
        hint = nearest if "did you mean" in nearest else "; all of them: harness settings"
        raise UserError(f'settings {pattern}: no setting has "{pattern}" in its key or its meaning{hint}')
    if as_json:
        return print_json([_as_record(line) for line in chosen if isinstance(line, SettingDescription)])
    width = min(shutil.get_terminal_size().columns, 120)
    for line in chosen:
        echo("\n".join(_wrapped(line, width)))
    if pattern is None:
        echo(
            "\nOne of them: --set training.lr=1e-4, or in a recipe a line lr = 1e-4 below [training]. A list in place of a number"
        )
        echo("is a schedule, one value per iteration. Some of them: harness settings PATTERN")
    return None


def _as_record(line: SettingDescription) -> dict[str, Any]:
    return {"key": line.key, "default": line.default, "type": line.type, "unit": line.unit or None, "meaning": line.meaning}


def _matching(pattern: str | None) -> Iterator[SectionHeading | SettingDescription]:
    """The settings that match, each section's heading before its first. `*` in a pattern stands for anything."""
    expression = re.compile(".*".join(map(re.escape, (pattern or "").strip("[]").split("*"))), re.IGNORECASE)
    heading = None
    for line in describe_settings():
        if isinstance(line, SectionHeading):
            heading = line
            continue
        if expression.search(line.key) or expression.search(line.meaning):
            if heading is not None and line.key.startswith(f"{heading.name}."):
                yield heading
                heading = None
            yield line


def _wrapped(line: SectionHeading | SettingDescription, width: int) -> Iterator[str]:
    from textwrap import wrap

    if isinstance(line, SectionHeading):
        yield ""
        yield from wrap(f"[{line.name}] {line.meaning}", width)
        return
    yield f"{line.key} = {format_value(line.default)}"
    kind = ", ".join(filter(None, [line.type, line.unit]))
    yield from wrap(f"{line.meaning} ({kind})", width, initial_indent=INDENT, subsequent_indent=INDENT)
