"""Where the installed package lies, and what a path in a setting means."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def resolve_path(text: str, relative_to: Path | None = None) -> Path:
    """`builtin:lab/base` -> a folder in the installed package; any other path is taken from `relative_to` or as it is."""
    if text.startswith("builtin:"):
        return PACKAGE / text.removeprefix("builtin:")
    path = Path(text).expanduser()
    return relative_to / path if relative_to is not None and not path.is_absolute() else path
