"""Where the installed package lies, and what a path in a setting means."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UserError

PACKAGE = Path(__file__).parent


def resolve_path(text: str, relative_to: Path | None = None) -> Path:
    """`builtin:lab/base` -> a folder in the installed package; any other path is taken from `relative_to` or as it is."""
    if text.startswith("builtin:"):
        return PACKAGE / text.removeprefix("builtin:")
    path = expanded(text)
    return relative_to / path if relative_to is not None and not path.is_absolute() else path


def expanded(text: str | Path) -> Path:
    """The path that a text names, `~` and `~user` in front of it as the home folder.

    Raises UserError where that home is not known, or the text can be no path.
    """
    if "\0" in str(text):
        raise UserError(f"{text}: holds the character NUL, which is in no path; write the path without it")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text}: there is no home folder of that name here; write the path out, or ./~... for a name") from error
