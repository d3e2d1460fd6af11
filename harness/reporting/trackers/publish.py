"""Log what a run has finished and a tracker does not have yet; which of it a tracker has is kept beside its data."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.errors import error_line, is_termination
from harness.files import read_json, write_json
from harness.reporting.trackers.series import TrialSeries, read_series

TRACKERS_FOLDER = "trackers"  # beside the run folders: what libraries write there (links, databases) is no part of a run
LOGGED_FOLDER = "logged"  # in it; per tracker and run: id of the tracker's run and phases logged, by trial

# Log the chunks of a trial to a tracker's run, a new one where the id is None; returns its id. See tensorboard.py.
LogTrial = Callable[[Path, str, TrialSeries, "str | None"], str]


class TrackerProblem(Exception):
    """A tracker that could not be written to. Nothing of the run depends on it."""


def publish(root: Path, names: Sequence[str], live: bool = False) -> dict[str, str]:
    """Log to each tracker what it lacks; returns a line per tracker: where to look. Raises TrackerProblem, after all were tried.

    live: while the run goes on; a tracker that cannot go on with a run later (wandb offline) is left for the end.
    """
    places: dict[str, str] = {}
    problems: list[str] = []
    series = list(read_series(root))
    for name in names:
        module = importlib.import_module(f"harness.reporting.trackers.{name}_log")
        if live and not module.is_live():
            continue
        folder = root.absolute().parent / TRACKERS_FOLDER / name
        try:
            with _quiet():
                _log_missing(module.log_trial, folder, root.name, series)
            places[name] = module.place(folder, root.name)
        except BaseException as error:  # a library may raise anything, SystemExit too
            if is_termination(error):
                raise
            problems.append(f"{name}: {error_line(error)}")
    if problems:
        raise TrackerProblem("; ".join(problems))
    return places


def _log_missing(log_trial: LogTrial, folder: Path, run: str, series: Sequence[TrialSeries]) -> None:
    """A trial's phases are noted as logged right behind each call: a command that is killed in between repeats one call."""
    path = folder.parent / LOGGED_FOLDER / folder.name / f"{run}.json"
    logged: dict[str, Any] = read_json(path) if path.is_file() and folder.is_dir() else {}
    folder.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    for trial in series:
        entry = logged.get(trial.id, {"run": None, "phases": []})
        chunks = tuple(chunk for chunk in trial.chunks if chunk.key not in entry["phases"])
        if chunks:
            num_logged = sum(len(chunk.by_step()) for chunk in trial.chunks if chunk not in chunks)
            run_id = log_trial(folder, run, replace(trial, chunks=chunks, num_logged=num_logged), entry["run"])
            logged[trial.id] = {"run": run_id, "phases": [*entry["phases"], *(chunk.key for chunk in chunks)]}
            write_json(path, logged)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries print; where a tracker's data is, is said once by this program."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def keep_default(variable: str, value: str) -> str:
    """The environment's value of a library's own variable, set to `value` where there is none."""
    return os.environ.setdefault(variable, value)
