"""The small files of a run: what its tables, figures and report are made from, one compressed file per trial in `facts/`.

`facts/VARIANT/seed-N.jsonl.xz` holds every finished phase of a trial: its manifest and the texts that the report reads.
`facts/initial.jsonl.xz` holds the same for what all trials share: the data's manifest, the initial policy's phases, the items of
the suite. Weights, examples and the responses trained on are not in them, so they fit where those do not: in a repository, or on
this machine after a trial's folder was deleted. Answers to the items are (item_answers.py); files of earlier versions lack them,
and are given them when they are written again where the raw evaluations are.

The first line is a header with format, unit and the digest of the rest; then one phase a line. The bytes depend on the phases
alone. xz, because what a trial repeats from checkpoint to checkpoint lies farther apart than gzip looks back: 20 kB in place of
50. Files with gzip, which earlier versions wrote, are read as well, and replaced when the trial is written again.
"""

from __future__ import annotations

import gzip
import json
import lzma
import os
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DamagedError, OtherFormatError, UserError, explain_system_errors
from harness.files import MANIFEST, RECOMPUTE_ADVICE, bytes_digest, json_round_trip, read_json, write_bytes, write_json
from harness.records import digest
from harness.settings.safe_paths import RESERVED_SUFFIXES
from harness.store.item_answers import ANSWERS_FILE, ASKED_FILE, has_answers, read_answers, read_asked
from harness.store.verification import parse_manifest, read_manifest, read_verified

SMALL_FILES_FOLDER = "facts"
SHARED_UNIT = "initial"  # the unit of what all trials share
SUFFIX, EARLIER_SUFFIX = ".jsonl.xz", ".jsonl.gz"
PRUNED_SUFFIX = ".pruned.json"
FILE_FORMAT = 1
MAX_BYTES = 512 << 20  # of one file, unpacked
FULL_FILES = ("scores.json", "items.json", "measurements.json", "first_ids.json")
DERIVED_FILES = (ANSWERS_FILE, ASKED_FILE)
STEPS_FILE, SAMPLES_FILE = "steps.jsonl", "samples.jsonl"
NUM_SAMPLES = 40  # held-out prompts whose responses, of every checkpoint, are kept
EARLIER_NUM_SAMPLES = 8
COMPARED_FIELDS = ("inputs", "settings", "outputs")  # of a manifest, equal in equal phases; seconds and memory are not


@dataclass(frozen=True)
class PhaseSummary:
    """One phase as a small file holds it. drawn: digest of the generated token ids, where the phase generated some."""

    manifest: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    drawn: str = ""


PhaseSummaries = dict[str, PhaseSummary]  # folder of a phase, relative to the run's -> its summary


def unit_of(phase: str) -> str:
    """The unit of a phase: its trial (`space/seed-0`), or what all trials share."""
    first, _, rest = phase.partition("/")
    return SHARED_UNIT if first in (SHARED_UNIT, "data") else f"{first}/{rest.partition('/')[0]}"


def _paths(root: Path, unit: str) -> tuple[Path, Path]:
    """Where the unit's file is written, and where earlier versions wrote it."""
    folder = root / SMALL_FILES_FOLDER
    return folder / f"{unit}{SUFFIX}", folder / f"{unit}{EARLIER_SUFFIX}"


def small_file_path(root: Path, unit: str) -> Path:
    """Where the unit's file is: of an earlier version, if there is only that; else where it is or would be written."""
    path, earlier = _paths(root, unit)
    return earlier if earlier.exists() and not path.exists() else path


def units(root: Path) -> list[str]:
    """The units that have a small file."""
    folder = root / SMALL_FILES_FOLDER
    found = set()
    for suffix in (SUFFIX, EARLIER_SUFFIX):
        paths = [folder / f"{SHARED_UNIT}{suffix}", *folder.glob(f"*/seed-*{suffix}")]
        found |= {path.relative_to(folder).as_posix().removesuffix(suffix) for path in paths if path.exists()}
    return sorted(found, key=lambda unit: (unit != SHARED_UNIT, unit))


def pruned_phases(root: Path, trial: str) -> list[str]:
    """The phases that were deleted from a trial's folder on purpose, its adapters being kept; they may be there again."""
    path = root / SMALL_FILES_FOLDER / f"{trial}{PRUNED_SUFFIX}"
    if not path.is_file():
        return []
    phases = read_json(path)
    if not isinstance(phases, list) or not all(isinstance(phase, str) and unit_of(phase) == trial for phase in phases):
        raise DamagedError(f"{path}: damaged (no list of phases); delete it, and what it lists is run again")
    return phases


def write_pruned_phases(root: Path, trial: str, phases: list[str]) -> None:
    write_json(root / SMALL_FILES_FOLDER / f"{trial}{PRUNED_SUFFIX}", sorted({*phases, *pruned_phases(root, trial)}))


def drop_pruned_phases(root: Path, trial: str) -> None:
    """Forget the list, of a trial whose whole folder is gone: it is read from its small file anyway."""
    (root / SMALL_FILES_FOLDER / f"{trial}{PRUNED_SUFFIX}").unlink(missing_ok=True)


def has_files(folder: Path) -> bool:
    """Whether any file lies below the folder; empty folders, as a deleted phase leaves them, do not count."""
    return any(files for _, _, files in os.walk(folder))


def read_small_file(root: Path, unit: str) -> PhaseSummaries:
    """The phases of a unit in its small file, {} without one. Raises DamagedError when the file is not what was written."""
    path = small_file_path(root, unit)
    try:
        with gzip.open(path) if path.name.endswith(EARLIER_SUFFIX) else lzma.open(path) as handle:
            raw = handle.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, OSError) and not isinstance(error, (gzip.BadGzipFile, IsADirectoryError)):
            raise
        raise _damaged_error(path, str(error)) from error
    if len(raw) > MAX_BYTES:
        raise _damaged_error(path, f"more than {MAX_BYTES:,} bytes unpacked")
    head, _, body = raw.partition(b"\n")
    try:
        header = json.loads(head)
        file_format, header_unit, expected_digest = header["format"], header["unit"], header["digest"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged_error(path, "its first line is not this program's") from error
    if file_format != FILE_FORMAT:
        raise OtherFormatError(
            f"{path}: format {file_format!r:.60} of small files, this program reads {FILE_FORMAT}; use the version that wrote "
            f"it, or {RECOMPUTE_ADVICE}"
        )
    if header_unit != unit:
        raise _damaged_error(path, f"is of {header_unit!r}")
    if expected_digest != bytes_digest(body):
        raise _damaged_error(path, "its digest is of other contents")
    try:
        summaries = {row["phase"]: PhaseSummary(**row["kept"]) for row in map(json.loads, body.splitlines())}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged_error(path, str(error)) from error
    for phase, summary in summaries.items():
        parts = PurePosixPath(phase).parts
        if unit_of(phase) != unit or ".." in parts or not all(isinstance(text, str) for text in summary.files.values()):
            raise _damaged_error(path, f"holds {phase!r}")
        parse_manifest(path, summary.manifest)
    return summaries


def _damaged_error(path: Path, reason: str) -> DamagedError:
    return DamagedError(
        f"{path}: damaged ({reason}); copy it again from where it came from, or {RECOMPUTE_ADVICE} (from the trial's folder "
        "where that is here; else the trial is run again)"
    )


def pack(unit: str, phases: Mapping[str, PhaseSummary]) -> bytes:
    rows = [json.dumps({"phase": name, "kept": asdict(phases[name])}) for name in sorted(phases)]
    body = "".join(row + "\n" for row in rows).encode("ascii")
    head = json.dumps({"format": FILE_FORMAT, "unit": unit, "digest": bytes_digest(body)}) + "\n"
    return lzma.compress(head.encode("ascii") + body)


def write_small_file(root: Path, unit: str, phases: Mapping[str, PhaseSummary]) -> None:
    """Write the file atomically; without phases, remove it."""
    path, earlier = _paths(root, unit)
    if not phases:
        path.unlink(missing_ok=True)
        earlier.unlink(missing_ok=True)
        return
    raw = pack(unit, phases)
    if not (path.is_file() and path.read_bytes() == raw):
        with explain_system_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, raw)
    earlier.unlink(missing_ok=True)


def phase_folders(root: Path, unit: str | None = None) -> list[str]:
    """The folders with a manifest, intact or not, relative to the run's: of one unit, or all; none set aside or unfinished."""
    tops = (root,) if unit is None else (root / SHARED_UNIT, root / "data") if unit == SHARED_UNIT else (root / unit,)
    folders = (path.parent.relative_to(root) for top in tops for path in sorted(top.rglob(MANIFEST)) if path.is_file())
    return [folder.as_posix() for folder in folders if not any(part.endswith(RESERVED_SUFFIXES) for part in folder.parts)]


def summarize_phase(root: Path, phase: str) -> PhaseSummary:
    """The summary of a finished phase's folder. Raises DamagedError when a file read is not what was committed."""
    folder = root / phase
    manifest = read_manifest(folder)
    outputs = manifest["outputs"]
    files = {name: read_verified(folder, manifest, name) for name in FULL_FILES if name in outputs}
    files |= read_derived(root, phase, manifest)
    samples_digest = ""
    if STEPS_FILE in outputs:
        files[STEPS_FILE] = "".join(_without_lists(line) for line in read_verified(folder, manifest, STEPS_FILE).splitlines())
    if SAMPLES_FILE in outputs:
        lines = read_verified(folder, manifest, SAMPLES_FILE).splitlines(keepends=True)
        if folder.name == "probe":
            files[SAMPLES_FILE] = "".join(lines[:NUM_SAMPLES])
        else:
            samples_digest = _samples_digest(lines)
    return PhaseSummary(manifest, files, samples_digest)


def read_derived(root: Path, phase: str, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What small files keep of an evaluation's samples, by name: the answers, and with the initial policy's what was asked. Empty
    for other phases."""
    if not has_answers(manifest):
        return {}
    folder = root / phase
    asked = {ASKED_FILE: read_asked(folder, manifest)} if unit_of(phase) == SHARED_UNIT else {}
    return {ANSWERS_FILE: read_answers(folder, manifest), **asked}


def is_of_earlier_version(summary: PhaseSummary) -> bool:
    """Whether a summary has less than would be kept of its phase today."""
    if SAMPLES_FILE in summary.files:
        return summary.files[SAMPLES_FILE].count("\n") == EARLIER_NUM_SAMPLES
    return has_answers(summary.manifest) and ANSWERS_FILE not in summary.files


def _without_lists(line: str) -> str:
    """A step's record without its values per example, which no table shows and which would be most of the file."""
    return json.dumps({key: value for key, value in json.loads(line).items() if not isinstance(value, list)}) + "\n"


def _samples_digest(lines: list[str]) -> str:
    """As `loop.trials.content_digest` of these samples: a sample's content is its token ids in language, `content` elsewhere."""
    rows = map(json.loads, lines)
    return digest(*(f"{row['example_id']} {row['index']} {row.get('token_ids', row.get('content'))}" for row in rows))


def update_small_file(root: Path, unit: str, verify: bool = True) -> None:
    """Update a unit's small file from its folders; what only the file holds stays in it.

    verify: read again the phases that the file holds already, and check their digests; a running run has done so.
    Raises UserError when the two disagree on a phase, DamagedError when one of them is damaged.
    """
    recorded = read_small_file(root, unit)
    current = {}
    for phase in phase_folders(root, unit):
        known = recorded.get(phase)
        is_current = known is not None and not is_of_earlier_version(known)
        if not verify and is_current and read_json(root / phase / MANIFEST) == recorded[phase].manifest:
            current[phase] = recorded[phase]
            continue
        current[phase] = summarize_phase(root, phase)
        if phase in recorded and (differing := first_difference(recorded[phase].manifest, current[phase].manifest)):
            raise UserError(
                f"{root / phase}: differs from {small_file_path(root, unit)} in {differing}; delete the one that is wrong: the "
                "file is written anew from the folder"
            )
    if current:
        write_small_file(root, unit, recorded | current)


def update_all_small_files(root: Path) -> None:
    update_small_file(root, SHARED_UNIT)
    for label in read_json(root / "run.json")["variants"]:
        for folder in sorted((root / label).glob("seed-*")):
            if not folder.name.endswith(RESERVED_SUFFIXES):
                update_small_file(root, f"{label}/{folder.name}")


def first_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """The first input, setting or output that differs between two manifests of a phase, with both values; None: all equal."""
    for section in COMPARED_FIELDS:
        first_values, second_values = (json_round_trip(manifest.get(section) or {}) for manifest in (first, second))
        for name in sorted(first_values.keys() | second_values.keys()):
            if first_values.get(name) != second_values.get(name):
                return f"{section} {name}: {first_values.get(name)!r} and {second_values.get(name)!r}"
    return None


def remove_phase(root: Path, phase: str) -> None:
    """Remove one phase from its small file, because it will be made again."""
    recorded = read_small_file(root, unit := unit_of(phase))
    if phase in recorded:
        write_small_file(root, unit, {name: summary for name, summary in recorded.items() if name != phase})


def drop_outdated(root: Path) -> list[str]:
    """Remove from the small files the phases that the folders do not have, or have differently; returns those phases.

    Where a trial's folder is there, the run continues from it: a phase deleted or replaced in it must not return from the file.
    """
    dropped = []
    for unit in units(root):
        if unit != SHARED_UNIT and not has_files(root / unit):
            continue
        recorded = read_small_file(root, unit)
        outdated = [phase for phase, summary in recorded.items() if not _is_current(root, unit, phase, summary)]
        if outdated:
            write_small_file(root, unit, {phase: summary for phase, summary in recorded.items() if phase not in outdated})
            dropped += outdated
    return dropped


def _is_current(root: Path, unit: str, phase: str, summary: PhaseSummary) -> bool:
    path = root / phase / MANIFEST
    if path.is_file():
        try:
            return first_difference(summary.manifest, dict(read_json(path))) is None
        except (DamagedError, ValueError, TypeError):
            return True  # an error follows where the folder is read
    return (unit == SHARED_UNIT or phase in pruned_phases(root, unit)) and not has_files(root / phase)
