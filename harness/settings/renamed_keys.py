"""Settings that had another name: the old one still works and is answered with the new one; run.json keeps the old one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.errors import UserError
from harness.settings.process_environment import notes
from harness.settings.toml_files import setting_source

RENAMED_KEYS = {"model.run_code_from_model_repository": "model.trust_remote_code"}  # old -> new


def recorded_default(section: type[BaseModel], key: str) -> Any:
    """The default of a setting by its name in run.json."""
    names = {old.split(".")[1]: new.split(".")[1] for old, new in RENAMED_KEYS.items()}
    return section.model_fields[key if key in section.model_fields else names[key]].default


def rename_keys(tree: dict[str, Any], path: Path, option_by_key: dict[str, str]) -> None:
    """Rename old keys of a recipe's tree. Raises UserError where both names are used."""
    for old, new in RENAMED_KEYS.items():
        section, old_key, new_key = tree.get(old.split(".")[0]), old.split(".")[1], new.split(".")[1]
        if not isinstance(section, dict) or old_key not in section:
            continue
        source = setting_source(old, option_by_key, path)
        if new_key in section:
            raise UserError(f"{source}: {old} is the old name of {new}, which is given too; leave one out")
        section[new_key] = section.pop(old_key)
        option_by_key[new] = source
        notes.append(f"{source}: {old} is called {new} now; both names work")
