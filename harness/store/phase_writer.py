"""Writing a phase, and resuming from the partial results of an interrupted attempt."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError
from harness.files import json_round_trip, read_checked, write_checked
from harness.progress import Advance

UNFINISHED_FOLDER = "unfinished"
# In that folder: an attempt's inputs, its number and its machine.
INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE = "begun.json", "attempts.json", "hardware.json"
HARDWARE_SEPARATOR = ", then "


class PhaseWriter:
    """An unfinished phase: files are written into `path`, numbers put into `counts`, then RunFolder commits it.

    `unfinished` is for partial results that the next attempt can reuse; it is not part of the finished phase. notify: called
    with a line about what is damaged. `advance` is called with the number of units done.
    """

    def __init__(self, path: Path, notify: Callable[[str], None] = lambda line: None) -> None:
        self.path, self.notify = path, notify
        self.unfinished = path / UNFINISHED_FOLDER
        self.attempt = 1
        self.counts: dict[str, Any] = {}
        self.advance: Advance = lambda n: None


def start_attempt(writer: PhaseWriter, inputs: Mapping[str, Any]) -> None:
    """Make the folder, empty but for partial results of an earlier attempt with equal inputs; set everything else aside.

    Where one of that attempt's own records is damaged, nothing of it is used.
    """
    records = [writer.unfinished / name for name in (INPUTS_FILE, ATTEMPTS_FILE, HARDWARE_FILE)]
    expected = json_round_trip(dict(inputs))
    try:
        entries = writer.unfinished.iterdir() if writer.unfinished.is_dir() else ()
        if (subfolder := next((path for path in entries if path.is_dir()), None)) is not None:
            raise DamagedError(f"{subfolder}: a folder, not a file of this program")
        previous = [read_checked(path) for path in records]
    except DamagedError as error:
        writer.notify(f"{error}; nothing of this attempt is used, the phase is made from its beginning")
        previous = [None, None, None]
    if previous[0] != expected:
        set_attempt_aside(writer.path)
        writer.unfinished.mkdir(parents=True)
        write_checked(records[0], expected)
        previous = [expected, None, None]
    leftovers = [path for path in writer.path.iterdir() if path != writer.unfinished]
    if leftovers:
        abandoned = writer.path.with_suffix(".abandoned")
        _remove(abandoned)
        abandoned.mkdir()
        for path in leftovers:
            path.rename(abandoned / path.name)
    writer.attempt = 1 + (previous[1] or 0)
    write_checked(records[1], writer.attempt)


def record_hardware(writer: PhaseWriter, hardware: Mapping[str, str]) -> dict[str, str]:
    """The machine of this attempt; where the attempt that it resumes had another: both, in this order."""
    path = writer.unfinished / HARDWARE_FILE
    previous = read_checked(path) or {}
    combined = {
        key: old if (old := previous.get(key, value)).split(HARDWARE_SEPARATOR)[-1] == value else old + HARDWARE_SEPARATOR + value
        for key, value in hardware.items()
    }
    write_checked(path, combined)
    return combined


def set_attempt_aside(partial: Path) -> None:
    """Rename an interrupted attempt; it stays for inspection until the next one is set aside."""
    if partial.exists():
        abandoned = partial.with_suffix(".abandoned")
        _remove(abandoned)
        partial.rename(abandoned)


def _remove(path: Path) -> None:
    """A folder or a file, if it is there."""
    if path.is_file():
        path.unlink()
    shutil.rmtree(path, ignore_errors=True)
