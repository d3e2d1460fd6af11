"""The folder of the installed package, and how a path in an option or a setting is resolved."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UserError

PACKAGE = Path(__file__).parent.parent
STAND_IN_HOME_ENV = "HARNESS_STAND_IN_HOME"  # where there is no home: the folder that HOME is set to, for libraries


def expand_user(text: str | os.PathLike[str]) -> Path:
    """The path with a leading `~` as the home folder, `~NAME` as that of the user NAME.

    Raises UserError where there is no such home: nobody means a folder called `~` (it is ./~).
    """
    path_text = os.fspath(text)
    if "\0" in path_text:
        raise UserError(f"{path_text}: holds the character NUL, which no path may contain; leave it out")
    if not path_text.startswith("~"):
        return Path(path_text)
    user_part, slash, rest = path_text.partition("/")
    home = os.environ.get("HOME", "") if user_part == "~" else ""
    if home == os.environ.get(STAND_IN_HOME_ENV):
        home = ""
    if not home:  # os.path.expanduser would read an empty HOME as the root folder
        home = _account_home(user_part[1:])
    if not home:
        reason = (
            f"there is no user {user_part[1:]} with a home folder"
            if user_part != "~"
            else "HOME is not set and this user has no home"
        )
        raise UserError(
            f"{path_text}: {reason} on this machine; write the path in full (a folder called {user_part} is ./{user_part})"
        )
    return Path(home + slash + rest)


def _account_home(name: str) -> str:
    """The home folder of the user `name` (empty: the current user) in the system's user list; empty without one."""
    try:
        import pwd
    except ImportError:  # a system without a user list
        expanded = os.path.expanduser(f"~{name}")
        return "" if expanded.startswith("~") else expanded
    try:
        return (pwd.getpwnam(name) if name else pwd.getpwuid(os.getuid())).pw_dir
    except (KeyError, ValueError, OSError):
        return ""


def resolve_path(text: str, relative_to: Path | None = None) -> Path:
    """`builtin:lab/base` -> a folder in the installed package; any other path is relative to `relative_to`, where given.

    Raises UserError where a `~` has no home folder.
    """
    if text.startswith("builtin:"):
        return PACKAGE / text.removeprefix("builtin:")
    path = expand_user(text)
    return relative_to / path if relative_to is not None and not path.is_absolute() else path
