"""Merging runs: trials run on several machines, in one run folder. Everything is compared before anything is copied.

Two runs can be merged when these are the same: settings, base model, data, suites, objectives, study, library versions, precision
and version of this program's numbers. A trial may come as its folder or as its small file alone. A trial that both have must be
the same: equal inputs, weights, items and scores. Seconds, memory and the machine differ by nature and are not compared.
"""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import DamagedError, UserError
from harness.files import commit_folder, read_json, write_bytes, write_json
from harness.settings.safe_paths import RESERVED_SUFFIXES
from harness.store.finished_phases import FinishedPhases, failed_cells
from harness.store.provenance import PROGRAM
from harness.store.run_folder import RunFolder
from harness.store.small_files import (
    SHARED_UNIT,
    PhaseSummary,
    first_difference,
    has_files,
    is_of_earlier_version,
    read_small_file,
    summarize_phase,
    unit_of,
    update_small_file,
    write_small_file,
)
from harness.store.verification import find_damage
from harness.store.versions import versions_by_phase

MACHINE_KEYS = {PROGRAM, "machine", "device", "cuda", "layout"}  # may differ between the trials of one run
# A step's record holds its seconds; an adapter's settings are in the manifest, and older versions wrote them in any order.
NONDETERMINISTIC_OUTPUTS = {"steps.jsonl", "adapter/adapter_config.json"}
BASE_SCORE_FILES = ("scores.json", "items.json")  # of the initial policy's evaluation: checkpoints are compared with these
VARIANT_KEYS = ("source_digest", "params", "training", "examples")


def plan_merge(run: RunFolder, source: Path, target_record: Mapping[str, Any] | None) -> tuple[MergePlan, dict[str, Any]]:
    """The plan to merge `source` into `run`, and the record of both. target_record: the run's so far, None for a new run.

    Raises UserError naming the first thing that differs, DamagedError for what is damaged. Writes nothing.
    """
    source_record = read_json(source / "run.json")
    plan = MergePlan(FinishedPhases(run.root), FinishedPhases(source))
    if plan.source.is_empty():
        raise UserError(f"{source}: holds neither phases nor small files, so there is nothing to merge")
    for root in (run.root, source):
        failed_cells(root)
    if target_record is not None:
        _check_same_records(run.root, target_record, source, source_record)
        _check_same_versions(run.root, source)
    source_phases, target_phases = _phases_by_unit(plan.source), _phases_by_unit(plan.target)
    plan.add_shared(source_phases.pop(SHARED_UNIT, []))
    trials = {f"{label}/seed-{seed}" for label in source_record["variants"] for seed in source_record["seeds"]}
    for trial in (trial for trial in source_phases if trial in trials):
        plan.add_trial(trial, source_phases[trial], set(target_phases.get(trial, ())))
    return plan, _merged_record(run, target_record, source_record)


def _check_same_records(root: Path, target_record: Mapping[str, Any], source: Path, source_record: Mapping[str, Any]) -> None:
    for name, here, there in _compared_values(target_record, source_record):
        if here != there:
            raise UserError(
                f"{source}: cannot be merged with {root}: {name} is {there!r:.80} there and {here!r:.80} here; only runs "
                "that differ in their trials alone can be merged"
            )


def _compared_values(target_record: Mapping[str, Any], source_record: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, here, there) of everything two records must agree in; a setting missing in one counts as its default."""
    yield "format_version", target_record.get("format_version"), source_record.get("format_version")
    yield "the base model's digest (base_digest)", target_record.get("base_digest"), source_record.get("base_digest")
    yield "the prompt template", target_record.get("template"), source_record.get("template")
    here, there = target_record["identity"], source_record["identity"]
    for section in dict.fromkeys([*here, *there]):
        here_section, there_section = here.get(section, {}), there.get(section, {})
        for key in dict.fromkeys([*here_section, *there_section]):
            default = _default(section, key)
            yield f"{section}.{key}", here_section.get(key, default), there_section.get(key, default)
    for name in target_record["suites"].keys() & source_record["suites"].keys():
        yield f"suite {name}", target_record["suites"][name], source_record["suites"][name]
    for label in target_record["variants"].keys() & source_record["variants"].keys():
        for key in VARIANT_KEYS:
            yield f"{label}: {key}", target_record["variants"][label].get(key), source_record["variants"][label].get(key)
    here, there = (record.get("study") or {} for record in (target_record, source_record))
    for key in dict.fromkeys([*here, *there]):
        yield f"study.{key}", here.get(key), there.get(key)


def _default(section: str, key: str) -> Any:
    fields = getattr(RunConfig.model_fields[section].annotation, "model_fields", {}) if section in RunConfig.model_fields else {}
    return fields[key].default if key in fields else None


def _check_same_versions(root: Path, source: Path) -> None:
    here, there = (_versions_used(folder) for folder in (root, source))
    for name in here.keys() & there.keys():
        if here[name] != there[name]:
            old, new = (", ".join(sorted(versions)) for versions in (here[name], there[name]))
            raise UserError(
                f"{source}: cannot be merged with {root}: made with {name} {new} there and {old} here; that alone can change "
                "checkpoints: run all trials with one version"
            )


def _versions_used(root: Path) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = defaultdict(set)
    for phase_versions in versions_by_phase(root).values():
        for name in phase_versions.keys() - MACHINE_KEYS:
            versions[name].add(phase_versions[name])
    return versions


@dataclass
class MergePlan:
    """What merging `source` into `target` will do: `steps` in order, and messages about it."""

    target: FinishedPhases
    source: FinishedPhases
    steps: list[Callable[[], None]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def add_shared(self, phases: list[str]) -> None:
        """Plan what all trials share: the source's `phases`."""
        if "data" not in phases:
            raise UserError(
                f"{self.source.root}: does not say which data its trials were trained on (no data/manifest.json, "
                f"no {SHARED_UNIT} small file)"
            )
        root = self.target.root
        summaries: dict[str, PhaseSummary] = {}
        richer: dict[str, PhaseSummary] = {}  # of phases that the target has from a version that kept less
        for phase in phases:
            is_new = not self.target.is_finished(phase)
            is_same = is_new or self._check_same_phase(phase, shared=True)
            if not self.target.has_folder(phase) and self.source.has_folder(phase) and is_same:
                self._copy(phase)
            elif is_new:
                summaries[phase] = _phase_summary(self.source, phase)
            elif is_same and is_of_earlier_version(_phase_summary(self.target, phase)):
                richer[phase] = _phase_summary(self.source, phase)
        if summaries or richer:
            self.steps.append(
                lambda: write_small_file(root, SHARED_UNIT, {**summaries, **read_small_file(root, SHARED_UNIT), **richer})
            )
        self.steps.append(lambda: update_small_file(root, SHARED_UNIT))

    def add_trial(self, trial: str, phases: list[str], target_phases: set[str]) -> None:
        """Plan one trial: the source's `phases`, where the target has `target_phases`."""
        root, source_root = self.target.root, self.source.root
        for phase in phases:
            if phase in target_phases:
                self._check_same_phase(phase, shared=False)
        only_in_source, only_in_target = [p for p in phases if p not in target_phases], target_phases - set(phases)
        if only_in_source and only_in_target:
            raise UserError(
                f"{source_root}: of {trial} it has {only_in_source[0]} and {root} has {min(only_in_target)}; "
                "neither is a prefix of the other"
            )
        # Of a trial of which the adapters alone were kept, the small file has everything that can be compared.
        source_has_folder = self.source.has_folder(trial) and not self.source.pruned_phases(trial)
        target_has_folder = self.target.has_folder(trial)
        if target_has_folder and only_in_source and not source_has_folder:
            raise UserError(
                f"{source_root}: of {trial} it has small files alone, and {root} a folder with fewer phases; "
                f"bring the folder {trial}"
            )
        if not only_in_source and (target_has_folder or not source_has_folder or only_in_target):
            self.messages.append(f"{trial}: already present")
            return
        if not source_has_folder:
            self.steps.append(
                lambda: write_small_file(root, trial, read_small_file(root, trial) | read_small_file(source_root, trial))
            )
        else:
            if target_has_folder:
                for phase in only_in_source:
                    self._copy(phase)
            else:
                self._copy(trial, phases)  # at once: some of them would count instead of the small file that has all
            self.steps.append(lambda: update_small_file(root, trial))
        self.messages.append(f"{trial}: {len(phases)} phases" + ("" if source_has_folder else " (small files)"))

    def _copy(self, folder: str, phases: Sequence[str] | None = None) -> None:
        """Copy the finished phases in a folder, which is one itself by default, and commit them together."""
        self.steps.append(lambda: _copy_phases(self.source.root, self.target.root, folder, phases or [folder]))

    def _check_same_phase(self, phase: str, shared: bool) -> bool:
        """Raises UserError where a phase that both have is not the same; whether even what may differ is."""
        here, there = _phase_summary(self.target, phase), _phase_summary(self.source, phase)
        differing = first_difference(_comparable_manifest(here, phase, shared), _comparable_manifest(there, phase, shared))
        if differing is None and shared and here.drawn != there.drawn:
            differing = "the generated token ids"
        if differing:
            raise UserError(
                f"{self.source.root / phase}: is not the phase that {self.target.root} has: differs in {differing}; "
                "leave the trial out of one of the two"
            )
        return first_difference(here.manifest, there.manifest) is None


def _phases_by_unit(finished_phases: FinishedPhases) -> dict[str, list[str]]:
    by_unit: dict[str, list[str]] = defaultdict(list)
    for phase in finished_phases.phases():
        by_unit[unit_of(phase)].append(phase)
    return dict(by_unit)


def _phase_summary(finished_phases: FinishedPhases, phase: str) -> PhaseSummary:
    return finished_phases.from_small_file(phase).get(phase) or summarize_phase(finished_phases.root, phase)


def _comparable_manifest(summary: PhaseSummary, phase: str, shared: bool) -> dict[str, Any]:
    """The part of a phase's manifest that must be the same in both.

    Between processors the initial policy's log-probabilities and held-out measurements differ in their last digits, so of what
    trials share only these are compared: the data, its answers and scores, and the token ids it generated.
    """
    outputs = {name: digest for name, digest in summary.manifest["outputs"].items() if name not in NONDETERMINISTIC_OUTPUTS}
    if shared and phase != "data":
        outputs = {name: digest for name, digest in outputs.items() if name in BASE_SCORE_FILES}
    return {**summary.manifest, "outputs": outputs}


def _copy_phases(source: Path, root: Path, folder: str, phases: Sequence[str]) -> None:
    """Copy phases below `folder`, committed together. Raises DamagedError where one is not what was committed."""
    target, partial = root / folder, root / f"{folder}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for phase in phases:
        _copy_verified(source / phase, partial / Path(phase).relative_to(folder))
    if target.exists() and not has_files(target):
        shutil.rmtree(target)
    commit_folder(partial, target)


def _copy_verified(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(*(f"*{ending}" for ending in RESERVED_SUFFIXES)))
    result = RunFolder(target.parent).find_phase(target.name)
    damage = find_damage(target, result.manifest) if result else f"{source}: not a finished phase"
    if damage:
        raise DamagedError(f"{damage.replace(str(target), str(source))}; repair it there first")


def _merged_record(run: RunFolder, target_record: Mapping[str, Any] | None, source_record: Mapping[str, Any]) -> dict[str, Any]:
    """Variants, seeds, iterations and suites of both; all else is the run's own, or the source's for a new run."""
    if target_record is None:
        return {**source_record, "name": run.name}
    variants = dict(target_record["variants"])
    for label, variant in source_record["variants"].items():
        if label not in variants or len(variant["resolved"]) > len(variants[label]["resolved"]):
            variants[label] = variant
    names = Counter(variant.get("shown_as") or label for label, variant in variants.items())
    for label, variant in variants.items():
        if names[variant.get("shown_as") or label] > 1:  # two runs gave one name to different variants
            variants[label] = {key: value for key, value in variant.items() if key != "shown_as"}
    return {
        **target_record,
        "variants": variants,
        "seeds": sorted({*target_record["seeds"], *source_record["seeds"]}),
        "iterations": max(target_record["iterations"], source_record["iterations"]),
        "suites": {**source_record["suites"], **target_record["suites"]},
    }


def copy_extra_files(run: RunFolder, source: Path, record: Mapping[str, Any]) -> None:
    """Copy what lies beside the phases where the run lacks it: objectives' files, a judge's replies, the failed trials."""
    for name in ("objectives", "judgements"):
        for path in sorted((source / name).rglob("*")):
            target = run.root / path.relative_to(source)
            if path.is_file() and not target.exists() and not path.name.endswith(RESERVED_SUFFIXES):
                target.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(target, path.read_bytes())
    failed = failed_cells(source) | failed_cells(run.root)
    if any((root / "failed.json").is_file() for root in (source, run.root)):
        finished, last = FinishedPhases(run.root), record["iterations"] - 1
        still_failed = {t: error for t, error in failed.items() if not finished.is_finished(f"{t}/iteration-{last}/probe")}
        write_json(run.root / "failed.json", still_failed)
