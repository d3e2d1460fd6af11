"""The phases of a plan that are still to run. A trial with small files alone counts as finished as far as they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.loop.phases.phase import Phase
from harness.store.finished_phases import FinishedPhases
from harness.store.small_files import small_file_path, unit_of


def remaining_phases(root: Path, phases: Sequence[Phase], ignore_damaged: bool = False) -> list[Phase]:
    """The phases of a run that are still to do, in the plan's order.

    Phases of the initial policy that pending trials need are run again where their folder is gone; the result must be as
    recorded. ignore_damaged: damaged small files count as none.

    Raises UserError where a trial has small files alone and lacks some iterations: the next one starts from its adapter.
    """
    finished_phases = FinishedPhases(root, ignore_damaged)
    missing = [phase for phase in phases if not finished_phases.is_finished(phase.folder)]
    first_missing: dict[str, Phase] = {}  # by trial
    for phase in missing:
        if phase.variant is not None:
            first_missing.setdefault(unit_of(phase.folder), phase)
    for trial, phase in first_missing.items():
        if finished_phases.only_small_file(trial):
            raise UserError(_small_files_only_message(root, trial, phase, finished_phases))
    # Of a trial whose adapters alone were kept, what the next iteration reads is made again, and must be as recorded.
    needed_again = [
        phase.folder
        for phase in phases
        if phase.variant is not None
        and phase.read_later
        and unit_of(phase.folder) in first_missing
        and not finished_phases.has_folder(phase.folder)
    ]
    seeds = {trial.rpartition("/")[2] for trial in first_missing}
    folders_to_run = {phase.folder for phase in missing} | set(needed_again)
    if seeds:
        folders_to_run |= {
            phase.folder for phase in phases if _needed_by_trials(phase, seeds) and not finished_phases.has_folder(phase.folder)
        }
    return [phase for phase in phases if phase.folder in folders_to_run]


def _needed_by_trials(phase: Phase, seeds: set[str]) -> bool:
    """Whether trials of these seeds read a phase of the initial policy, which may be of one seed."""
    seed = phase.folder.split("/")[1]
    return phase.variant is None and phase.read_later and (seed in seeds or not seed.startswith("seed-"))


def _small_files_only_message(root: Path, trial: str, phase: Phase, finished_phases: FinishedPhases) -> str:
    num_iterations = len({name.split("/")[2] for name in finished_phases.from_small_file(trial)})
    return (
        f"{root}: of {trial} only the small files are here, with {num_iterations} iteration(s); "
        f"{phase.folder.removeprefix(trial + '/')} needs its adapter: bring the folder {trial} from the machine that ran it, "
        f"or delete {small_file_path(root, trial)} to run it from the start"
    )
