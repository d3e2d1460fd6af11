"""Settings that had another name: the old one still works and is answered with the new one; run.json keeps the old one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UserError
from harness.settings.process_environment import notes
from harness.settings.toml_files import setting_source

if TYPE_CHECKING:
    from pydantic import BaseModel

RENAMED_KEYS = {"model.run_code_from_model_repository": "model.trust_remote_code"}  # old -> new


def recorded_default(section: type[BaseModel], key: str) -> Any:
    """The default of a setting by its name in run.json."""
    names = {old.split(".")[1]: new.split(".")[1] for old, new in RENAMED_KEYS.items()}
    return section.model_fields[key if key in section.model_fields else names[key]].default


def rename_keys(tree: Mapping[str, Any], path: Path, source_by_key: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """A recipe's tree and its sources with new names in place of old ones. Raises UserError where both names are used."""
    renamed, sources = dict(tree), dict(source_by_key)
    for old, new in RENAMED_KEYS.items():
        (section, old_key), new_key = old.split("."), new.split(".")[1]
        values = renamed.get(section)
        if not isinstance(values, dict) or old_key not in values:
            continue
        source = setting_source(old, source_by_key, path)
        if new_key in values:
            raise UserError(f"{source}: {old} is the old name of {new}, which is given too; leave one out")
        renamed[section] = {new_key if key == old_key else key: value for key, value in values.items()}
        sources[new] = source
        if (note := f"{source}: {old} is called {new} now; both names work") not in notes:
            notes.append(note)
    return renamed, sources
