"""What the finished phases of a run were made with, libraries and machine, and what of it is another now.

A run may be continued under other libraries or on another machine: that is said, and stands by phase in tables/versions.csv. It
may not be continued under another version of this program's own numbers (`provenance.NUMBERS`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store.finished_phases import Played
from harness.store.provenance import BEFORE_NUMBERS, NUMBERS, NUMBERS_KEY, PROGRAM
from harness.store.run_folder import RunFolder

MadeWith = dict[str, dict[str, str]]  # folder of a phase, from the run's -> name -> version
SAID = 4  # folders named in a line


def made_with(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Versions and machine of one phase, by name; a manifest that does not speak of the program's numbers is of version 1."""
    found = {NUMBERS_KEY: BEFORE_NUMBERS}
    for key in ("versions", "hardware"):
        recorded = manifest.get(key)
        found |= {str(name): str(version) for name, version in recorded.items()} if isinstance(recorded, Mapping) else {}
    return found


def phases_made_with(root: Path) -> MadeWith:
    """Every finished phase of a run. One whose manifest is damaged is left out: whoever needs the phase refuses it."""
    found, played = {}, Played(root)
    for phase in played.phases():
        try:
            fields = played.manifest(phase)
        except (UserError, TypeError):  # damaged, or a file of another program under this name
            continue
        if fields is not None:
            found[phase] = made_with(fields)
    return found


def refuse_other_numbers(run: RunFolder) -> None:
    """Raises UserError where a finished phase of the run was made under another version of this program's numbers.

    A folder that holds a record and no phase, as a clone has it, can be played: nothing is mixed.
    """
    phases, record = phases_made_with(run.root), run.record() or {}
    others = {folder: made[NUMBERS_KEY] for folder, made in phases.items() if made[NUMBERS_KEY] != NUMBERS}
    played = _last_played(record).get(NUMBERS_KEY, NUMBERS)
    if not others and played != NUMBERS and phases.keys() - {"data"}:  # `data` is committed before the record is written
        others = dict.fromkeys(phases, played)
    if not others:
        return
    commit = f", commit {record['git_commit'][:10]}" if isinstance(record.get("git_commit"), str) else ""
    raise UserError(
        f"{run.root}: {_how_many(others, phases)} made with version {', '.join(sorted(set(others.values())))} of this program's "
        f"numbers, which are now version {NUMBERS}: equal inputs give other numbers; use --name OTHER for a run of its own, or "
        f"go on with the program that began it ({PROGRAM} {record.get('created_by_version', 'unknown')}{commit})"
    )


def refuse_other_suite(run: RunFolder, suite: str, version: str) -> None:
    """Raises UserError where the initial policy's scores are of another version of the suite than this one."""
    recorded = (run.record() or {}).get("suites")
    known = recorded.get(suite) if isinstance(recorded, dict) else None
    evaluated = run.known(f"initial/evaluate/{suite}") is not None
    if evaluated and isinstance(known, dict) and known.get("version", version) != version:
        raise UserError(
            f"{run.root}: its scores on {suite} are of the suite's version {known['version']}, now {version}; "
            "use --name OTHER for a run of its own (this one's tables and report can be made as before)"
        )


def numbers_of(root: Path) -> list[str]:
    """The versions of this program's numbers that the finished phases of a run were made with."""
    return sorted({made[NUMBERS_KEY] for made in phases_made_with(root).values()})


def other_versions(run: RunFolder, now: Mapping[str, str]) -> str | None:
    """One line that names every library and part of the machine that is another now than when a phase was made; None: all equal.

    now: name -> version, of what bears on the numbers of this run. What a phase did not record is no difference.
    """
    phases = phases_made_with(run.root)
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for folder, made in phases.items():
        differing = tuple((name, made[name]) for name in now if name in made and made[name] != now[name])
        if differing:
            groups.setdefault(differing, []).append(folder)
    covered = {pair for differing in groups for pair in differing}
    last = [(name, old) for name, old in _last_played(run.record() or {}).items() if old != now.get(name, old)]
    last = [pair for pair in last if pair not in covered] if phases else []
    if not groups and not last:
        return None
    said = [
        f"{', '.join(f'{name} {old} (now {now[name]})' for name, old in differing)} in {_how_many(folders, phases)}"
        for differing, folders in groups.items()
    ]
    said += [f"{', '.join(f'{name} {old} (now {now[name]})' for name, old in last)} when the run was last played"] if last else []
    return (
        f"WARNING made with other versions: {'; '.join(said)}; between them players can differ for that alone: "
        "--name OTHER makes all of it with one"
    )


def _last_played(record: Mapping[str, Any]) -> dict[str, str]:
    """The versions in run.json: those of the last time that the run was played, whether or not a phase was made then."""
    versions = record.get("versions")
    return {str(name): str(version) for name, version in versions.items()} if isinstance(versions, Mapping) else {}


def _how_many(some: Iterable[str], every: MadeWith) -> str:
    chosen = list(some)
    if len(chosen) == len(every):
        return f"all {len(every)} finished phases" if len(every) > 1 else f"the one finished phase ({chosen[0]})"
    return f"{len(chosen)} of {len(every)} finished phases ({shortened(folders(chosen, every))})"


def shortened(names: list[str]) -> str:
    more = len(names) - SAID
    return ", ".join(names if more <= 0 else [*names[:SAID], f"and {more} more"])


def folders(some: Iterable[str], every: Iterable[str]) -> list[str]:
    """The fewest folders that hold exactly the phases `some` of `every`."""
    chosen = sorted(some)
    whole, mine = Counter[str](), Counter[str]()
    for counts, phases in ((whole, every), (mine, chosen)):
        for phase in phases:
            counts.update(_above(phase))
    return list(dict.fromkeys(next(f for f in _above(phase) if mine[f] == whole[f]) for phase in chosen))


def _above(phase: str) -> list[str]:
    """The folders a phase lies in, the outermost first, and its own."""
    parts = phase.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]
