"""Pruning: what of a run no table, figure or report needs is deleted; the small files, complete and verified, hold the rest.

Of a finished trial its folder goes, or all of it but `train/` where the adapters are kept; of what all trials share, the initial
policy's evaluation. The data, the initial policy's responses, scores and diagnostics stay: other objectives and seeds begin with
them. A trial that is not finished stays whole, since it could not go on otherwise; so does what was set aside as damaged.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UserError
from harness.files import folder_bytes, read_json, walk
from harness.records import INITIAL
from harness.settings.safe_paths import RESERVED_SUFFIXES
from harness.store.finished_phases import FinishedPhases
from harness.store.opening import as_argument
from harness.store.run_folder import RunFolder
from harness.store.small_files import (
    SHARED_UNIT,
    drop_pruned_phases,
    has_files,
    phase_folders,
    read_small_file,
    unit_of,
    update_small_file,
    write_pruned_phases,
)

# What a phase's folder holds most of, by the name of its kind.
KINDS = {
    "train": "adapters and logs of steps",
    "generate": "samples",
    "evaluate": "raw evaluations",
    "score": "log-probabilities",
    "probe": "diagnostics' samples",
}
OTHER, HALF_WRITTEN = "other phases", "half-written attempts"


@dataclass
class PrunePlan:
    """Folders to delete, relative to the run's: whole trials, single phases of others, attempts that are not finished.

    kept: a line for every trial that stays and why. bytes_by_kind: what goes, in the order of KINDS.
    """

    trials: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    bytes_by_kind: dict[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes_by_kind.values())


def plan_pruning(
    run: RunFolder, finished_trials: Sequence[str], unfinished_trials: Sequence[str], keep_adapters: bool
) -> PrunePlan:
    """What pruning deletes. finished_trials: those with a folder here that have every phase of the run's plan."""
    plan = PrunePlan()
    for trial in finished_trials:
        folders = phase_folders(run.root, trial)
        kept = [phase for phase in folders if keep_adapters and _kind(phase) == "train"]
        plan.phases += [phase for phase in folders if keep_adapters and phase not in kept]
        plan.trials += [] if keep_adapters else [trial]
        for phase in folders:
            if phase not in kept:
                _add(plan, KINDS.get(_kind(phase), OTHER), run.root / phase)
    plan.kept = [f"{trial}: not finished, so it could not go on" for trial in unfinished_trials]
    for phase in (phase for phase in phase_folders(run.root, SHARED_UNIT) if phase.startswith(f"{INITIAL}/evaluate/")):
        plan.phases.append(phase)
        _add(plan, KINDS["evaluate"], run.root / phase)
    for attempt in _attempts(run.root, unfinished_trials):
        plan.attempts.append(attempt)
        _add(plan, HALF_WRITTEN, run.root / attempt)
    order = [*KINDS.values(), OTHER, HALF_WRITTEN]
    plan.bytes_by_kind = {kind: plan.bytes_by_kind[kind] for kind in order if plan.bytes_by_kind.get(kind)}
    return plan


def _kind(phase: str) -> str:
    """The kind of a trial's phase: OBJECTIVE/seed-N/iteration-T/KIND, with the suite's name below an evaluation's."""
    return phase.split("/")[3]


def _add(plan: PrunePlan, kind: str, folder: Path) -> None:
    plan.bytes_by_kind[kind] = plan.bytes_by_kind.get(kind, 0) + folder_bytes(folder)


def _attempts(root: Path, unfinished_trials: Sequence[str]) -> Iterator[str]:
    """Abandoned attempts anywhere; unfinished ones that no unfinished trial could go on from."""
    going_on = (*(f"{trial}/" for trial in unfinished_trials), f"{SHARED_UNIT}/", "data") if unfinished_trials else ()
    for path in sorted(path for path in walk(root) if path.is_dir()):
        relative = path.relative_to(root).as_posix()
        if any(part.endswith(RESERVED_SUFFIXES) for part in path.parent.relative_to(root).parts):
            continue  # inside another
        if path.suffix == ".abandoned" or (path.suffix == ".partial" and not relative.startswith(going_on)):
            yield relative


def prune(run: RunFolder, plan: PrunePlan) -> None:
    """Delete what the plan names. The caller holds the run's lock. Raises UserError, and deletes nothing, where the small files
    do not hold every phase that is to go, as it is.

    A kill in between loses nothing: a folder is renamed before it is deleted, and until then counts as it did.
    """
    verify_small_files(run.root, [*plan.trials, *plan.phases])
    pruned: dict[str, list[str]] = {}
    for phase in plan.phases:
        if unit_of(phase) != SHARED_UNIT:
            pruned.setdefault(unit_of(phase), []).append(phase)
    for trial, phases in pruned.items():
        write_pruned_phases(run.root, trial, phases)
    for folder in (*plan.trials, *plan.phases):
        run.check_lock()
        aside = (run.root / folder).with_name(f"{Path(folder).name}.abandoned")
        shutil.rmtree(aside, ignore_errors=True)
        (run.root / folder).rename(aside)
        shutil.rmtree(aside)
        run.journal("pruned", phase=folder)
    for attempt in plan.attempts:
        run.check_lock()
        shutil.rmtree(run.root / attempt, ignore_errors=True)  # gone with the trial it lay in
    for folder in plan.trials:
        drop_pruned_phases(run.root, folder)
        # its objective's folder, where no other trial of it is here
        parent = (run.root / folder).parent
        if not has_files(parent):
            shutil.rmtree(parent)


def verify_small_files(root: Path, folders: Sequence[str]) -> None:
    """Raises UserError unless the small files, read again and compared with every folder, hold each phase in `folders`."""
    for unit in sorted({unit_of(folder) for folder in folders}):
        update_small_file(root, unit, verify=True)
        recorded = read_small_file(root, unit)
        for phase in phase_folders(root, unit):
            if phase not in recorded or recorded[phase].manifest != dict(read_json(root / phase / "manifest.json")):
                raise UserError(
                    f"{root / phase}: is not in the small files as it is; make them anew with: harness report {as_argument(root)}"
                )


def trials_here(run: RunFolder) -> list[str]:
    """The trials that have a folder here."""
    record, finished_phases = run.record() or {}, FinishedPhases(run.root)
    names = [f"{label}/seed-{seed}" for label in record["variants"] for seed in record["seeds"]]
    return [name for name in names if finished_phases.has_folder(name)]
