"""Cells played on several machines, joined in one run folder. Everything is compared before anything is copied.

Two runs can be joined when they are of the same: settings, base model, data, suites, objectives, study, library versions,
precision and version of this program's numbers. A cell may come as its folder or as its small file alone. A cell that both
have must be the same cell: made from the same, with the same weights, items and scores. Seconds, memory and the machine differ by
nature and are not compared.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import DamagedError, UserError
from harness.files import read_json, write_bytes, write_json
from harness.settings.safe_paths import TAKEN
from harness.store.finished_phases import Played, failed_cells
from harness.store.provenance import PROGRAM
from harness.store.run_folder import RunFolder
from harness.store.small_files import SHARED, Kept, difference, from_folder, has_files, keep, read, unit_of, write
from harness.store.verification import harm
from harness.store.versions import phases_made_with

OF_THE_MACHINE = {PROGRAM, "machine", "device", "cuda", "layout"}  # what may differ between the cells of one run
# A step's record holds its seconds; an adapter's settings are in the phase's own, in an order that older versions left open.
BY_CHANCE = {"steps.jsonl", "adapter/adapter_config.json"}
TOLD = ("scores.json", "items.json")  # of the initial policy's evaluation: what players are compared with
OF_VARIANT = ("source_digest", "params", "training", "examples")


@dataclass
class Plan:
    """What joining `source` will do: `steps` in order, and what to tell of it."""

    source: Path
    steps: list[Callable[[], None]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)


def joined(run: RunFolder, source: Path, record: Mapping[str, Any] | None) -> tuple[Plan, dict[str, Any]]:
    """What is to be done to have `source` in `run`, and the record of both. record: the run's so far, None for a new run.

    Raises UserError naming the first thing that differs, DamagedError for what is damaged. Writes nothing.
    """
    theirs = read_json(source / "run.json")
    mine, other = Played(run.root), Played(source)
    if other.empty():
        raise UserError(f"{source}: holds neither phases nor small files, so there is nothing to join")
    for root in (run.root, source):
        failed_cells(root)
    if record is not None:
        _refuse_other_records(run.root, record, source, theirs)
        _refuse_other_versions(run.root, source)
    plan = Plan(source)
    phases: dict[str, list[str]] = {}
    for phase in other.phases():
        phases.setdefault(unit_of(phase), []).append(phase)
    ours: dict[str, set[str]] = {}
    for phase in mine.phases():
        ours.setdefault(unit_of(phase), set()).add(phase)
    _join_shared(plan, run.root, mine, other, phases.pop(SHARED, []))
    cells = {f"{label}/seed-{seed}" for label in theirs["variants"] for seed in theirs["seeds"]}
    for cell in (cell for cell in phases if cell in cells):
        _join_cell(plan, run.root, mine, other, cell, phases[cell], ours.get(cell, set()))
    return plan, _united(run, record, theirs)


# ---------------------------------------------------------------- what must be the same


def _refuse_other_records(root: Path, mine: Mapping[str, Any], source: Path, theirs: Mapping[str, Any]) -> None:
    for what, here, there in _of_records(mine, theirs):
        if here != there:
            raise UserError(
                f"{source}: cannot be joined with {root}: {what} is {_short(there)} there and {_short(here)} here; only runs "
                "that differ in nothing but their cells are joined"
            )


def _of_records(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, here, there) of everything two records must agree in; a setting that one does not know has its default there."""
    yield "format_version", mine.get("format_version"), theirs.get("format_version")
    yield "the base model's digest (base_digest)", mine.get("base_digest"), theirs.get("base_digest")
    yield "the prompt template", mine.get("template"), theirs.get("template")
    here, there = mine["identity"], theirs["identity"]
    for section in dict.fromkeys([*here, *there]):
        one, two = here.get(section, {}), there.get(section, {})
        for key in dict.fromkeys([*one, *two]):
            default = _default(section, key)
            yield f"{section}.{key}", one.get(key, default), two.get(key, default)
    for name in mine["suites"].keys() & theirs["suites"].keys():
        yield f"suite {name}", mine["suites"][name], theirs["suites"][name]
    for label in mine["variants"].keys() & theirs["variants"].keys():
        for key in OF_VARIANT:
            yield f"{label}: {key}", mine["variants"][label].get(key), theirs["variants"][label].get(key)
    here, there = (record.get("study") or {} for record in (mine, theirs))
    for key in dict.fromkeys([*here, *there]):
        yield f"study.{key}", here.get(key), there.get(key)


def _default(section: str, key: str) -> Any:
    fields = getattr(RunConfig.model_fields[section].annotation, "model_fields", {}) if section in RunConfig.model_fields else {}
    return fields[key].default if key in fields else None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _refuse_other_versions(root: Path, source: Path) -> None:
    here, there = (_made_with(folder) for folder in (root, source))
    for name in here.keys() & there.keys():
        if here[name] != there[name]:
            old, new = (", ".join(sorted(versions)) for versions in (here[name], there[name]))
            raise UserError(
                f"{source}: cannot be joined with {root}: made with {name} {new} there and {old} here; between them players can "
                "differ for that alone: play the cells with one"
            )


def _made_with(root: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for made in phases_made_with(root).values():
        for name, version in made.items():
            if name not in OF_THE_MACHINE:
                found.setdefault(name, set()).add(version)
    return found


def _refuse_other_phase(root: Path, mine: Played, other: Played, phase: str, shared: bool) -> None:
    here, there = _kept(mine, phase), _kept(other, phase)
    found = difference(_compared(here, phase, shared), _compared(there, phase, shared))
    if found is None and shared and here.drawn != there.drawn:
        found = "the token ids drawn"
    if found:
        raise UserError(
            f"{other.root / phase}: is not the phase that {root} has: differs in {found}; leave the cell out of one of the two"
        )


def _kept(played: Played, phase: str) -> Kept:
    return played.kept(phase).get(phase) or from_folder(played.root, phase)


def _compared(kept: Kept, phase: str, shared: bool) -> dict[str, Any]:
    """A phase's manifest as far as it must be the same in both.

    Between processors the initial policy's log-probabilities and held-out measurements differ in their last digits, so of what
    cells share are compared: the data, what it answered and scored, and the token ids it drew.
    """
    outputs = {name: digest for name, digest in kept.manifest["outputs"].items() if name not in BY_CHANCE}
    if shared and phase != "data":
        outputs = {name: digest for name, digest in outputs.items() if name in TOLD}
    return {**kept.manifest, "outputs": outputs}


# ---------------------------------------------------------------- what is to be done


def _join_shared(plan: Plan, root: Path, mine: Played, other: Played, phases: list[str]) -> None:
    small: dict[str, Kept] = {}
    if "data" not in phases:
        raise UserError(
            f"{other.root}: does not say which data its cells were trained on (no data/manifest.json, no {SHARED} small file)"
        )
    for phase in phases:
        if mine.finished(phase):
            _refuse_other_phase(root, mine, other, phase, shared=True)
        one = not mine.finished(phase) or difference(_kept(mine, phase).manifest, _kept(other, phase).manifest) is None
        if not mine.by_folder(phase) and other.by_folder(phase) and one:
            plan.steps.append(lambda phase=phase: _bring(other.root / phase, root / phase))
        elif not mine.finished(phase):
            small[phase] = _kept(other, phase)
    if small:
        plan.steps.append(lambda: write(root, SHARED, {**small, **read(root, SHARED)}))
    plan.steps.append(lambda: keep(root, SHARED))


def _join_cell(plan: Plan, root: Path, mine: Played, other: Played, cell: str, theirs: list[str], ours: set[str]) -> None:
    for phase in theirs:
        if phase in ours:
            _refuse_other_phase(root, mine, other, phase, shared=False)
    more, less = [phase for phase in theirs if phase not in ours], ours - set(theirs)
    if more and less:
        raise UserError(f"{other.root}: of {cell} it has {more[0]} and {root} has {min(less)}; neither is the other's beginning")
    whole, have = other.by_folder(cell), mine.by_folder(cell)
    if have and more and not whole:
        raise UserError(
            f"{other.root}: of {cell} it has small files alone, and {root} a folder that goes less far; bring the folder {cell}"
        )
    if not more and (have or not whole or less):
        plan.said.append(f"{cell}: there already")
        return
    if not whole:
        plan.steps.append(lambda: write(root, cell, read(root, cell) | read(other.root, cell)))
    elif have:
        plan.steps += [lambda phase=phase: _bring(other.root / phase, root / phase) for phase in more]
    else:
        plan.steps.append(lambda: _bring_cell(other.root, root, cell, theirs))
    if whole:
        plan.steps.append(lambda: keep(root, cell))
    plan.said.append(f"{cell}: {len(theirs)} phases" + ("" if whole else " (small files)"))


def _bring(source: Path, target: Path) -> None:
    """Copy a finished phase: whole, under its name, or not at all. Raises DamagedError when it is not what was committed."""
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if target.exists() and not has_files(target):
        shutil.rmtree(target)
    _copy(source, partial)
    partial.rename(target)


def _bring_cell(source: Path, root: Path, cell: str, phases: list[str]) -> None:
    """All phases of a cell at once: half of them would count in place of the small file that holds all."""
    target, partial = root / cell, root / f"{cell}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for phase in phases:
        _copy(source / phase, partial / Path(phase).relative_to(cell))
    if target.exists() and not has_files(target):
        shutil.rmtree(target)
    partial.rename(target)


def _copy(source: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, to, ignore=shutil.ignore_patterns(*(f"*{ending}" for ending in TAKEN)))
    done = RunFolder(to.parent).finished(to.name)
    harmed = harm(to, done.manifest) if done else f"{source}: not a finished phase"
    if harmed:
        raise DamagedError(f"{harmed.replace(str(to), str(source))}; mend it there first")


# ---------------------------------------------------------------- the record of both


def _united(run: RunFolder, mine: Mapping[str, Any] | None, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Variants, seeds, iterations and suites of both; all else is the run's own, or for a new run the first one's."""
    if mine is None:
        return {**theirs, "name": run.name}
    variants = dict(mine["variants"])
    for label, variant in theirs["variants"].items():
        if label not in variants or len(variant["resolved"]) > len(variants[label]["resolved"]):
            variants[label] = variant
    return {
        **mine,
        "variants": variants,
        "seeds": sorted({*mine["seeds"], *theirs["seeds"]}),
        "iterations": max(mine["iterations"], theirs["iterations"]),
        "suites": {**theirs["suites"], **mine["suites"]},
    }


def bring_beside(run: RunFolder, source: Path, record: Mapping[str, Any]) -> None:
    """What lies beside the phases: the objectives' files, a judge's answers, and which cells failed, where the run lacks them."""
    for name in ("objectives", "judgements"):
        for path in sorted((source / name).rglob("*")):
            target = run.root / path.relative_to(source)
            if path.is_file() and not target.exists() and not path.name.endswith(TAKEN):
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, path.read_bytes())
    failed = [failed_cells(root) for root in (source, run.root)]
    if any((root / "failed.json").is_file() for root in (source, run.root)):
        played, last = Played(run.root), record["iterations"] - 1
        said = {
            cell: error for one in failed for cell, error in one.items() if not played.finished(f"{cell}/iteration-{last}/probe")
        }
        write_json(run.root / "failed.json", said)
