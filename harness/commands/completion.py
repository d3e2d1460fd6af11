"""What the shell completes behind an option: names from folders, keys of settings. Quick: a key is answered at once.

A mistake elsewhere in the line, or a folder that cannot be read, completes nothing: the shell shows no messages here, the command
itself will.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.settings.listing import SettingDescription, describe_settings
from harness.settings.paths import PACKAGE

Completer = Callable[[Any, str], list[str]]  # the command's context and the word as far as it is typed -> words


def _quiet(function: Callable[[Any, str], Iterable[str]]) -> Completer:
    def complete(ctx: Any, incomplete: str) -> list[str]:
        try:
            return [word for word in function(ctx, incomplete) if word.startswith(incomplete)]
        except (UserError, OSError):
            return []

    return complete


def names_in(kind: str) -> Completer:
    """The recipes, suites or studies that come with the program, by name."""
    return _quiet(lambda _ctx, _incomplete: sorted(path.stem for path in (PACKAGE / kind).glob("*.toml")))


def _objectives(_ctx: Any, _incomplete: str) -> Iterable[str]:
    from harness.discovery.variants import list_objectives

    return list_objectives()


def _variants(ctx: Any, incomplete: str) -> Iterator[str]:
    """What is typed up to the last comma, with every objective behind it that is not there yet."""
    before, comma, _ = incomplete.rpartition(",")
    typed = before.split(",")
    yield from (f"{before}{comma}{name}" for name in _objectives(ctx, incomplete) if name not in typed)


def _settings(_ctx: Any, _incomplete: str) -> Iterator[str]:
    yield from (f"{line.key}=" for line in describe_settings() if isinstance(line, SettingDescription) and line.key != "recipe")


def _setting_names(_ctx: Any, _incomplete: str) -> Iterator[str]:
    yield from (line.key for line in describe_settings() if isinstance(line, SettingDescription))


def _runs(ctx: Any, _incomplete: str) -> Iterable[str]:
    from harness.store.opening import run_names

    return run_names(Path(ctx.params.get("results") or "results"))


objectives, variants, settings, setting_names, runs = map(_quiet, (_objectives, _variants, _settings, _setting_names, _runs))
