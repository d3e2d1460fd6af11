"""The state of a run folder as data: which phases are finished and where they are, what failed, what the run scored, its size.

Reads manifests, small files and the tables that the run wrote; neither torch nor pandas. `harness status` prints it.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

from harness.errors import DamagedError, OtherFormatError
from harness.files import walk
from harness.loop.plan import PHASES
from harness.records import INITIAL
from harness.store.finished_phases import FinishedPhases, failed_cells
from harness.store.lease import LEASE, owner_is_alive
from harness.store.opening import as_argument
from harness.store.run_folder import RunFolder

T = TypeVar("T")
LEADERBOARD = "tables/leaderboard.csv"
FOLDER, ADAPTERS, SMALL_FILES = "everything", "adapters and small files", "small files"  # what of a trial is here


@dataclass(frozen=True)
class MeanScore:
    """The mean over tasks of an objective at one iteration, as a share of 1: over `seeds` seeds, with its error of sampling items
    and its 95 % interval over seeds, where there is one."""

    iteration: int
    mean: float
    item_stderr: float | None
    low: float | None
    high: float | None
    seeds: int | None


@dataclass(frozen=True)
class TrialStatus:
    """One objective with one seed. phases: a text per iteration, one letter per phase as in `loop.plan.PHASES`: the phase's own
    where it is finished, "·" where not, "!" where its manifest is damaged, a space where the objective has no such phase.

    stored: what of it is here. error: why it failed at the run's last command.
    """

    objective: str
    seed: int
    phases: list[str]
    stored: str
    error: str | None = None

    @property
    def name(self) -> str:
        return f"{self.objective}/seed-{self.seed}"

    @property
    def num_missing(self) -> int:
        return sum(letters.count("·") for letters in self.phases)


@dataclass
class RunStatus:
    """One run. state: running, damaged, failed, unfinished or finished. bytes: on disk. date: of its last change, ISO.

    scores: objective (and `initial`) -> its iterations in order, from the run's tables/leaderboard.csv; empty without one, or
    where the suite has no mean.
    """

    name: str
    path: str
    objectives: list[str]
    seeds: list[int]
    iterations: int
    suite: str
    trials: list[TrialStatus]
    scores: dict[str, list[MeanScore]]
    bytes: int
    date: str
    damage: list[DamagedError | OtherFormatError] = field(default_factory=list)
    running: bool = False

    @property
    def num_missing(self) -> int:
        """Phases that are not finished."""
        return sum(trial.num_missing for trial in self.trials)

    @property
    def failed(self) -> list[TrialStatus]:
        return [trial for trial in self.trials if trial.error is not None]

    @property
    def small_only(self) -> list[TrialStatus]:
        """Trials without an adapter here."""
        return [trial for trial in self.trials if trial.stored == SMALL_FILES]

    @property
    def state(self) -> str:
        if self.running:
            return "running"
        if self.damage:
            return "damaged"
        if self.failed:
            return "failed"
        return "unfinished" if self.num_missing else "finished"

    def best_and_last(self) -> tuple[str, MeanScore, MeanScore] | None:
        """The objective with the highest mean at any iteration, that iteration's score, and the score of its last iteration."""
        trained = {name: rows for name, rows in self.scores.items() if name != INITIAL and rows}
        if not trained:
            return None
        best = {name: max(rows, key=lambda row: row.mean) for name, rows in trained.items()}
        name = max(best, key=lambda name: best[name].mean)
        return name, best[name], trained[name][-1]


def run_status(run: RunFolder) -> RunStatus:
    """The status of a validated run folder; what is damaged of it is in `damage`."""
    record = run.record()
    assert record is not None
    finished_phases = FinishedPhases(run.root)
    damage: list[DamagedError | OtherFormatError] = []
    failed = _read_or_note(damage, lambda: failed_cells(run.root))
    tables_only = finished_phases.is_empty() and (run.root / LEADERBOARD).is_file()  # of runs before there were small files
    trials = []
    for label, variant in record["variants"].items():
        for seed in record["seeds"]:
            name = f"{label}/seed-{seed}"
            iterations = range(record["iterations"])
            phases = [
                _phase_letters(finished_phases, f"{name}/iteration-{t}", _needs(variant, t), record["suite"], damage, tables_only)
                for t in iterations
            ]
            stored = _what_is_stored(finished_phases, name, tables_only)
            error = failed.get(name) if any("·" in letters for letters in phases) else None
            trials.append(TrialStatus(label, seed, phases, stored, error))
    num_bytes, changed = _size_and_time(run.root)
    return RunStatus(
        name=run.root.resolve().name,
        path=str(run.root),
        objectives=list(record["variants"]),
        seeds=list(record["seeds"]),
        iterations=record["iterations"],
        suite=record["suite"],
        trials=trials,
        scores=_read_or_note(damage, lambda: read_mean_scores(run.root)),
        bytes=num_bytes,
        date=time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(changed)),
        damage=damage,
        running=owner_is_alive(run.root / LEASE),
    )


def _read_or_note(damage: list[Any], read: Callable[[], dict[str, T]]) -> dict[str, T]:
    """What `read` returns; nothing, and its error noted, where that is damaged."""
    try:
        return read()
    except DamagedError as error:
        damage.append(error)
        return {}


def _needs(variant: Mapping[str, Any], iteration: int) -> Any:
    return SimpleNamespace(**variant["needs"][min(iteration, len(variant["needs"]) - 1)])


def _phase_letters(
    finished_phases: FinishedPhases, iteration_folder: str, needs: Any, suite: str, damage: list[Any], tables_only: bool
) -> str:
    letters = ""
    for phase in (phase for phase in PHASES if phase.letter):
        if not phase.is_needed(needs):
            letters += " "
            continue
        try:
            manifest = finished_phases.manifest(f"{iteration_folder}/{phase.path_in_iteration(suite)}")
        except (DamagedError, OtherFormatError) as error:
            damage.append(error)
            letters += "!"
            continue
        letters += phase.letter if manifest is not None or tables_only else "·"
    return letters


def _what_is_stored(finished_phases: FinishedPhases, trial: str, tables_only: bool) -> str:
    if tables_only or finished_phases.only_small_file(trial):
        return SMALL_FILES
    return ADAPTERS if finished_phases.pruned_phases(trial) else FOLDER


def read_mean_scores(root: Path) -> dict[str, list[MeanScore]]:
    """Objective -> its mean over tasks by iteration, as the run's leaderboard.csv has it; {} without one or without means."""
    path = root / LEADERBOARD
    scores: dict[str, list[MeanScore]] = {}
    if not path.is_file():
        return scores
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                if row.get("mean"):
                    stderr, low, high = (_number(row.get(name)) for name in ("item_stderr", "mean_low", "mean_high"))
                    seeds = int(float(row["seeds"])) if row["seeds"] else None
                    score = MeanScore(int(row["iteration"]), float(row["mean"]), stderr, low, high, seeds)
                    scores.setdefault(row["objective"], []).append(score)
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise DamagedError(f"{path}: damaged ({error}); write it again with: harness report {as_argument(root)}") from error
    return scores


def _number(text: str | None) -> float | None:
    return float(text) if text else None


def _size_and_time(root: Path) -> tuple[int, float]:
    """Bytes of all files, and seconds since 1970 of the last change to one of them."""
    sizes, times = [0], [0.0]
    for status in _file_stats(root):
        sizes.append(status.st_size)
        times.append(status.st_mtime)
    return sum(sizes), max(times)


def _file_stats(root: Path) -> Iterator[Any]:
    for path in walk(root):
        try:
            if path.is_file():
                yield path.stat()
        except FileNotFoundError:  # removed by a process that works here now
            continue
