"""A phase in the making, and what an interrupted attempt at it left for the next one to go on from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError
from harness.files import json_round_trip
from harness.store import checked_records as kept

UNFINISHED_FOLDER = "unfinished"
INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE = (
    "begun.json",
    "attempts.json",
    "hardware.json",
)  # in it: what an attempt is made from, which, on what
HARDWARE_SEPARATOR = ", then "


class PhaseWriter:
    """A phase being made: write files into `path`, put numbers into `counts`, then the store commits it.

    `unfinished` is for what the next attempt may go on from; it is not part of the finished phase. notice: told what is damaged.
    """

    def __init__(self, path: Path, notify: Callable[[str], None] = lambda line: None) -> None:
        self.path, self.notify = path, notify
        self.unfinished = path / UNFINISHED_FOLDER
        self.attempt = 1
        self.counts: dict[str, Any] = {}


def start_attempt(writer: PhaseWriter, inputs: Mapping[str, Any]) -> None:
    """An empty folder but for what an earlier attempt at the same left to go on from; everything else is set aside.

    Where one of that attempt's own records is damaged, nothing of it is used.
    """
    records = [writer.unfinished / name for name in (INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE)]
    expected = json_round_trip(dict(inputs))
    try:
        if writer.unfinished.is_dir() and (odd := next((path for path in writer.unfinished.iterdir() if path.is_dir()), None)):
            raise DamagedError(f"{odd}: a folder, not a file of this program")
        previous = [kept.read(path) for path in records]
    except DamagedError as error:
        writer.notify(f"{error}; nothing of this attempt is used, the phase is made from its beginning")
        previous = [None, None, None]
    if previous[0] != expected:
        set_attempt_aside(writer.path)
        writer.unfinished.mkdir(parents=True)
        kept.write(records[0], expected)
        previous = [expected, None, None]
    leftovers = [path for path in writer.path.iterdir() if path != writer.unfinished]
    if leftovers:
        abandoned = writer.path.with_suffix(".abandoned")
        _remove(abandoned)
        abandoned.mkdir()
        for path in leftovers:
            path.rename(abandoned / path.name)
    writer.attempt = 1 + (previous[1] or 0)
    kept.write(records[1], writer.attempt)


def record_hardware(writer: PhaseWriter, hardware: Mapping[str, str]) -> dict[str, str]:
    """The machine of this attempt; where an earlier one, whose work is gone on from, had another: both, in this order."""
    path = writer.unfinished / HARDWARE_FILE
    previous = kept.read(path) or {}
    combined = {
        key: was if (was := previous.get(key, value)).split(HARDWARE_SEPARATOR)[-1] == value else was + HARDWARE_SEPARATOR + value
        for key, value in hardware.items()
    }
    kept.write(path, combined)
    return combined


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
