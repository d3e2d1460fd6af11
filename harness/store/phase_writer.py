"""A phase in the making, and what an interrupted attempt at it left for the next one to go on from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError
from harness.files import read_back
from harness.store import checked_records as kept

UNFINISHED = "unfinished"
BEGUN, ATTEMPTS, MADE_ON = "begun.json", "attempts.json", "hardware.json"  # in it: what an attempt is made from, which, on what
THEN = ", then "


class Draft:
    """A phase being made: write files into `path`, put numbers into `counts`, then the store commits it.

    `unfinished` is for what the next attempt may go on from; it is not part of the finished phase. notice: told what is damaged.
    """

    def __init__(self, path: Path, notice: Callable[[str], None] = lambda line: None) -> None:
        self.path, self.notice = path, notice
        self.unfinished = path / UNFINISHED
        self.attempt = 1
        self.counts: dict[str, Any] = {}


def begin(draft: Draft, made_from: Mapping[str, Any]) -> None:
    """An empty folder but for what an earlier attempt at the same left to go on from; everything else is set aside.

    Where one of that attempt's own records is damaged, nothing of it is used.
    """
    records = [draft.unfinished / name for name in (BEGUN, ATTEMPTS, MADE_ON)]
    said = read_back(dict(made_from))
    try:
        if draft.unfinished.is_dir() and (odd := next((path for path in draft.unfinished.iterdir() if path.is_dir()), None)):
            raise DamagedError(f"{odd}: a folder, not a file of this program")
        before = [kept.get(path) for path in records]
    except DamagedError as error:
        draft.notice(f"{error}; nothing of this attempt is used, the phase is made from its beginning")
        before = [None, None, None]
    if before[0] != said:
        set_attempt_aside(draft.path)
        draft.unfinished.mkdir(parents=True)
        kept.put(records[0], said)
        before = [said, None, None]
    leftovers = [path for path in draft.path.iterdir() if path != draft.unfinished]
    if leftovers:
        abandoned = draft.path.with_suffix(".abandoned")
        _remove(abandoned)
        abandoned.mkdir()
        for path in leftovers:
            path.rename(abandoned / path.name)
    draft.attempt = 1 + (before[1] or 0)
    kept.put(records[1], draft.attempt)


def made_on(draft: Draft, now: Mapping[str, str]) -> dict[str, str]:
    """The machine of this attempt; where an earlier one, whose work is gone on from, had another: both, in this order."""
    path = draft.unfinished / MADE_ON
    before = kept.get(path) or {}
    both = {
        key: was if (was := before.get(key, value)).split(THEN)[-1] == value else was + THEN + value for key, value in now.items()
    }
    kept.put(path, both)
    return both


def set_attempt_aside(partial: Path) -> None:
    """An interrupted attempt is kept beside the new one until the next interruption, for whoever wants to look."""
    if partial.exists():
        abandoned = partial.with_suffix(".abandoned")
        _remove(abandoned)
        partial.rename(abandoned)


def _remove(path: Path) -> None:
    """A folder or a file, if it is there."""
    if path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)
