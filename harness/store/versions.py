"""Library versions and machine of a run's finished phases, compared with the current ones.

A run may be continued under other libraries or on another machine, with a warning; tables/versions.csv has the versions by
phase. It may not be continued under another version of this program's own numbers (`provenance.NUMBERS_VERSION`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.finished_phases import FinishedPhases
from harness.store.provenance import FIRST_NUMBERS_VERSION, NUMBERS_KEY, NUMBERS_VERSION, PROGRAM
from harness.store.run_folder import RunFolder

VersionsByPhase = dict[str, dict[str, str]]  # folder of a phase, relative to the run's -> name -> version
MAX_NAMED_FOLDERS = 4  # in one message


def versions_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Versions and machine of one phase, by name; a manifest without a version of the program's numbers is of version 1."""
    versions = {NUMBERS_KEY: FIRST_NUMBERS_VERSION}
    return versions | _as_texts(manifest.get("versions")) | _as_texts(manifest.get("hardware"))


def versions_by_phase(root: Path) -> VersionsByPhase:
    """Every finished phase of a run. One with a damaged manifest is left out: an error follows where the phase is read."""
    versions, finished_phases = {}, FinishedPhases(root)
    for phase in finished_phases.phases():
        try:
            fields = finished_phases.manifest(phase)
        except (UserError, TypeError):  # damaged, or a file of another program under this name
            continue
        if fields is not None:
            versions[phase] = versions_of(fields)
    return versions


def check_numbers_version(run: RunFolder) -> None:
    """Raises UserError where a finished phase of the run was made under another version of this program's numbers.

    A folder with a record and no phase, as in a clone, can be run: no numbers are mixed.
    """
    phases, record = versions_by_phase(run.root), run.record() or {}  # whose versions are those of the run's last command
    others = {folder: versions[NUMBERS_KEY] for folder, versions in phases.items() if versions[NUMBERS_KEY] != NUMBERS_VERSION}
    last_numbers = _as_texts(record.get("versions")).get(NUMBERS_KEY, NUMBERS_VERSION)
    # `data` is committed before the record is written.
    if not others and last_numbers != NUMBERS_VERSION and phases.keys() - {"data"}:
        others = dict.fromkeys(phases, last_numbers)
    if not others:
        return
    commit = f", commit {record['git_commit'][:10]}" if isinstance(record.get("git_commit"), str) else ""
    raise UserError(
        f"{run.root}: {_format_phases(others, phases)} made with version {', '.join(sorted(set(others.values())))} of this "
        f"program's numbers, which are now version {NUMBERS_VERSION}: equal inputs give other numbers; use --name OTHER for a "
        f"run of its own, or go on with the program that began it ({PROGRAM} "
        f"{record.get('created_by_version', 'unknown')}{commit})"
    )


def check_suite_version(run: RunFolder, suite: str, version: str) -> None:
    """Raises UserError where the initial policy's scores are of another version of the suite than this one."""
    recorded_suites = (run.record() or {}).get("suites")
    recorded_suite = recorded_suites.get(suite) if isinstance(recorded_suites, dict) else None
    evaluated = run.manifest_of(f"initial/evaluate/{suite}") is not None
    if evaluated and isinstance(recorded_suite, dict) and recorded_suite.get("version", version) != version:
        raise UserError(
            f"{run.root}: its scores on {suite} are of the suite's version {recorded_suite['version']}, now {version}; "
            "use --name OTHER for a run of its own (this one's tables and report can be made as before)"
        )


def numbers_versions(root: Path) -> list[str]:
    """The versions of this program's numbers that the finished phases of a run were made with."""
    return sorted({versions[NUMBERS_KEY] for versions in versions_by_phase(root).values()})


def version_warning(run: RunFolder, current: Mapping[str, str]) -> str | None:
    """One line with every library and part of the machine that has changed since a phase was made; None: no change.

    current: name -> version, of everything that this run's numbers depend on. What a phase did not record is no difference.
    """

    def differences(versions: Mapping[str, str]) -> tuple[str, ...]:
        changed = (name for name in current if versions.get(name, current[name]) != current[name])
        return tuple(f"{name} {versions[name]} (now {current[name]})" for name in changed)

    phases = versions_by_phase(run.root)
    groups: dict[tuple[str, ...], list[str]] = {}
    for folder, versions in phases.items():
        if differing := differences(versions):
            groups.setdefault(differing, []).append(folder)
    clauses = [f"{', '.join(differing)} in {_format_phases(folders, phases)}" for differing, folders in groups.items()]
    covered = {difference for differing in groups for difference in differing}
    last_run = [line for line in differences(_as_texts((run.record() or {}).get("versions"))) if line not in covered]
    if last_run and phases:
        clauses.append(f"{', '.join(last_run)} at the run's last command")
    if not clauses:
        return None
    return (
        f"WARNING made with other versions: {'; '.join(clauses)}; that alone can change checkpoints: "
        "--name OTHER makes all phases with one version"
    )


def _as_texts(versions: Any) -> dict[str, str]:
    return {str(name): str(version) for name, version in versions.items()} if isinstance(versions, Mapping) else {}


def _format_phases(selected: Iterable[str], all_phases: VersionsByPhase) -> str:
    chosen = list(selected)
    if len(chosen) == len(all_phases):
        return f"all {len(all_phases)} finished phases" if len(all_phases) > 1 else f"the one finished phase ({chosen[0]})"
    return f"{len(chosen)} of {len(all_phases)} finished phases ({shorten_list(covering_folders(chosen, all_phases))})"


def shorten_list(names: list[str]) -> str:
    num_more = len(names) - MAX_NAMED_FOLDERS
    return ", ".join(names if num_more <= 0 else [*names[:MAX_NAMED_FOLDERS], f"and {num_more} more"])


def covering_folders(selected: Iterable[str], all_phases: Iterable[str]) -> list[str]:
    """The fewest folders that hold exactly the phases `selected` among `all_phases`."""
    chosen = sorted(selected)
    total_counts = Counter(folder for phase in all_phases for folder in _enclosing_folders(phase))
    counts = Counter(folder for phase in chosen for folder in _enclosing_folders(phase))
    return list(dict.fromkeys(next(f for f in _enclosing_folders(p) if counts[f] == total_counts[f]) for p in chosen))


def _enclosing_folders(phase: str) -> list[str]:
    """The folders a phase lies in, the outermost first, and its own."""
    parts = phase.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]
