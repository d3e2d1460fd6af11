"""The folder of a model or an adapter on this machine, and its JSON: read, or one line of what is wrong with it.

The caller puts the setting before the line.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UserError, error_line
from harness.settings.paths import expand_user


def local_folder(path: str) -> Path | None:
    """The folder `path`; None where it may be a hub id. Raises UserError where a folder is meant and there is none."""
    folder = expand_user(path)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError("is a file, expected a folder or a hub id")
    if path.startswith((".", "/", "~")):
        raise UserError("no such folder; give a folder or a hub id")
    return None


def read_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises UserError where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file} is missing; give the folder that was saved with it") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read ({error.strerror}); see to it, or copy it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file} is damaged ({error_line(error)}); copy it again") from error
    if not isinstance(content, dict):
        raise UserError(f"{file} holds a {type(content).__name__}, expected an object; copy it again")
    return content
