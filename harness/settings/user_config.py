"""The user's own file of settings, for everything that is started on a machine: results, reports, mirror and any setting.

It is `$XDG_CONFIG_HOME/harness/config.toml`, else `~/.config/harness/config.toml`. Where a value comes from, the first that gives
one: an option, the environment (HARNESS_RESULTS, HARNESS_REPORTS, HARNESS_MIRROR), the recipe, this file, the default.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.settings.listing import SettingDescription, describe_settings
from harness.settings.paths import PACKAGE, expand_user
from harness.settings.renamed_keys import RENAMED_KEYS
from harness.settings.toml_files import find_line, read_toml

MIRROR_VARIABLE = "HARNESS_MIRROR"
FOLDER_VARIABLES = {"results": "HARNESS_RESULTS", "reports": "HARNESS_REPORTS"}  # folders of a command, no settings of a run
NOT_IN_FILE = {"recipe": "choose one with --recipe NAME"}


@dataclass(frozen=True)
class UserConfig:
    """What the file says: folders by name, and settings as a recipe has them. Both are empty where there is no file."""

    path: Path | None = None
    folders: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def source_of(self, key: str) -> str:
        """The file, and the line where it is found."""
        assert self.path is not None
        line = find_line(self.path, key)
        return f"{self.path}: line {line}" if line else str(self.path)


def user_config_path() -> Path | None:
    """Where the file would be; None for a user without a home. A relative XDG_CONFIG_HOME is ignored, as its standard says."""
    folder = os.environ.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(folder):
        try:
            folder = str(expand_user("~/.config"))
        except UserError:
            return None
    return Path(folder) / "harness" / "config.toml"


def read_user_config() -> UserConfig:
    """The user's file. Raises UserError, naming the file and the line, for a key that is not known."""
    path = user_config_path()
    if path is None or not path.exists():
        return UserConfig()
    if path.is_dir():
        raise UserError(f"{path}: is a folder, expected a file of settings; remove it")
    tree = read_toml(path)
    config = UserConfig(path, settings={key: value for key, value in tree.items() if key not in FOLDER_VARIABLES})
    folders = {key: _folder(config, key, tree[key]) for key in FOLDER_VARIABLES if key in tree}
    _check_keys(config)
    return UserConfig(path, folders, config.settings)


def _folder(config: UserConfig, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "://" in value:
        raise UserError(f"{config.source_of(key)}: {key}={value!r}: expected a folder on this machine, in quotes")
    return value


def _check_keys(config: UserConfig) -> None:
    keys = [line.key for line in describe_settings() if isinstance(line, SettingDescription) and line.key not in NOT_IN_FILE]
    known = {*keys, *RENAMED_KEYS, *FOLDER_VARIABLES}
    sections = {key.rpartition(".")[0] for key in keys} - {""}
    for key, value in _flatten(config.settings, known):
        if key in NOT_IN_FILE:
            raise UserError(f"{config.source_of(key)}: {key} is no setting of this file; {NOT_IN_FILE[key]}")
        if key in sections and not isinstance(value, Mapping):
            raise UserError(f"{config.source_of(key)}: {key}={value!r}: expected a section, as in [{key}]")
        if key not in known:
            raise UserError(f'{config.source_of(key)}: unknown setting "{key}"{_nearest(key, known)}; all: harness settings')


def _nearest(key: str, known: Collection[str]) -> str:
    """The nearest known key, of the same section where that is known."""
    prefix = f"{section}." if (section := key.rpartition(".")[0]) else ""
    siblings = {other for other in known if other.startswith(prefix)}
    return did_you_mean(key, siblings if prefix and siblings else {*known, *(other.partition(".")[0] for other in known)})


def _flatten(tree: Mapping[str, Any], known: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) down to the keys that are known or hold no section; what objectives and templates take is a value."""
    for name, value in tree.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and key not in known:
            yield from _flatten(value, known, f"{key}.")
        elif not (isinstance(value, Mapping) and not value):
            yield key, value


def fill_in(tree: dict[str, Any], settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Give a recipe's tree the values of the user's file that it does not have itself, key by key; yields their dotted keys."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            inner = tree.setdefault(name, {})
            if isinstance(inner, dict):  # else the recipe has a value there, which counts
                yield from fill_in(inner, value, f"{prefix}{name}.")
        elif name not in tree:
            tree[name] = value
            yield f"{prefix}{name}"


def user_folder(name: str) -> Path | None:
    """The folder `results` or `reports` of the user's file, with `~` expanded; None where it names none."""
    text = read_user_config().folders.get(name)
    return None if text is None else expand_user(text)


def short_place(text: str) -> str:
    """The source of a setting without folders that belong to a machine: `builtin:` is the package, `~` the home folder."""
    home = os.environ.get("HOME", "").rstrip("/")
    text = f"builtin:{text.removeprefix(f'{PACKAGE}/')}" if text.startswith(f"{PACKAGE}/") else text
    return f"~{text.removeprefix(home)}" if home and text.startswith(f"{home}/") else text
