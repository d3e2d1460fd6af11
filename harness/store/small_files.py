"""The small files of a run: what its tables, figures and report are made of, one compressed file per cell in `facts/`.

`facts/VARIANT/seed-N.jsonl.gz` holds every finished phase of a cell: its manifest and the texts the views read.
`facts/initial.jsonl.gz` holds the same of what all cells share: the data's manifest, the initial policy's phases. Weights,
examples and drawn responses are not in them, so they can be kept where those cannot: in a repository, or when a cell's folder is
deleted.

The first line names what follows and carries its digest; then one phase a line. The bytes depend on the phases alone.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DamagedError, OtherFormatError, UserError, disk_trouble
from harness.files import AGAIN, MANIFEST, bytes_digest, read_back, read_json, write_bytes
from harness.records import digest
from harness.settings.safe_paths import TAKEN
from harness.store.verification import intact, read_manifest

FOLDER = "facts"
SHARED = "initial"  # the unit of what all cells share
ENDING = ".jsonl.gz"
FORMAT = 1
LARGEST = 512 << 20  # bytes of one file, unpacked
WHOLE = ("scores.json", "items.json", "measurements.json", "first_ids.json")
STEPS, SAMPLES = "steps.jsonl", "samples.jsonl"
KEPT_SAMPLES = 8  # held-out prompts of which every player's response is kept
SAME = ("inputs", "settings", "outputs")  # what two phases must have in common to be one; seconds and memory differ by chance


@dataclass(frozen=True)
class Kept:
    """One phase as a small file holds it. drawn: names the token ids drawn, where the phase drew some."""

    manifest: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    drawn: str = ""


Unit = dict[str, Kept]  # folder of a phase, from the run's -> what is kept of it


def unit_of(phase: str) -> str:
    """The unit a phase belongs to: its cell (`space/seed-0`), or what all cells share."""
    first, _, rest = phase.partition("/")
    return SHARED if first in (SHARED, "data") else f"{first}/{rest.partition('/')[0]}"


def path_of(root: Path, unit: str) -> Path:
    return root / FOLDER / f"{unit}{ENDING}"


def units(root: Path) -> list[str]:
    """The units that have a small file."""
    folder = root / FOLDER
    found = [folder / f"{SHARED}{ENDING}", *sorted(folder.glob(f"*/seed-*{ENDING}"))]
    return [path.relative_to(folder).as_posix().removesuffix(ENDING) for path in found if path.exists()]


def has_files(folder: Path) -> bool:
    """Whether any file lies below the folder; empty folders, as a deleted phase leaves them, are as good as none."""
    return any(files for _, _, files in os.walk(folder))


# ---------------------------------------------------------------- the file


def read(root: Path, unit: str) -> Unit:
    """What is kept of a unit, {} where nothing is. Raises DamagedError when the file is not what was written."""
    path = path_of(root, unit)
    try:
        with gzip.open(path) as handle:
            raw = handle.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and not isinstance(error, (gzip.BadGzipFile, IsADirectoryError)):
            raise
        raise _damaged(path, str(error)) from error
    if len(raw) > LARGEST:
        raise _damaged(path, f"more than {LARGEST:,} bytes unpacked")
    head, _, body = raw.partition(b"\n")
    try:
        said = json.loads(head)
        number, of, recorded = said["format"], said["unit"], said["digest"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, "its first line is not this program's") from error
    if number != FORMAT:
        raise OtherFormatError(
            f"{path}: format {number!r:.60} of small files, this program reads {FORMAT}; use the version that wrote it, "
            f"or {AGAIN}"
        )
    if of != unit:
        raise _damaged(path, f"is of {of!r}")
    if recorded != bytes_digest(body):
        raise _damaged(path, "its digest is of other contents")
    try:
        found = {row["phase"]: Kept(**row["kept"]) for row in map(json.loads, body.splitlines())}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _damaged(path, str(error)) from error
    for phase, kept in found.items():
        parts = PurePosixPath(phase).parts
        if unit_of(phase) != unit or ".." in parts or not all(isinstance(text, str) for text in kept.files.values()):
            raise _damaged(path, f"holds {phase!r}")
        read_manifest(path, kept.manifest)
    return found


def _damaged(path: Path, how: str) -> DamagedError:
    return DamagedError(
        f"{path}: damaged ({how}); take it again from where it was kept, or {AGAIN} (from the cell's folder where that is here; "
        "else the cell is played again)"
    )


def packed(unit: str, phases: Mapping[str, Kept]) -> bytes:
    """The file's bytes."""
    rows = [json.dumps({"phase": name, "kept": asdict(phases[name])}) for name in sorted(phases)]
    body = "".join(row + "\n" for row in rows).encode("ascii")
    head = json.dumps({"format": FORMAT, "unit": unit, "digest": bytes_digest(body)}) + "\n"
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, compresslevel=9, mtime=0) as handle:
        handle.write(head.encode("ascii") + body)
    return target.getvalue()


def write(root: Path, unit: str, phases: Mapping[str, Kept]) -> None:
    """Whole or not at all; without phases there is no file."""
    path = path_of(root, unit)
    if not phases:
        path.unlink(missing_ok=True)
        return
    raw = packed(unit, phases)
    if path.is_file() and path.read_bytes() == raw:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, raw)
    except OSError as error:
        if (trouble := disk_trouble(error)) is None:
            raise
        raise UserError(f"{path}: {trouble}; make room, then repeat the same command to go on") from error


# ---------------------------------------------------------------- from the folders


def phase_folders(root: Path, unit: str) -> Iterator[str]:
    """Every finished phase of a unit whose folder is there, from the run's."""
    for top in (root / SHARED, root / "data") if unit == SHARED else (root / unit,):
        for path in sorted(top.rglob(MANIFEST)):
            relative = path.parent.relative_to(root)
            if path.is_file() and not any(part.endswith(TAKEN) for part in relative.parts):
                yield relative.as_posix()


def from_folder(root: Path, phase: str) -> Kept:
    """What is kept of a finished phase. Raises DamagedError when what is read of it is not what was committed."""
    folder = root / phase
    manifest = read_json(folder / MANIFEST)
    read_manifest(folder, manifest)
    outputs = manifest["outputs"]
    files = {name: intact(folder, manifest, name) for name in WHOLE if name in outputs}
    drawn = ""
    if STEPS in outputs:
        files[STEPS] = "".join(_without_lists(line) for line in intact(folder, manifest, STEPS).splitlines())
    if SAMPLES in outputs:
        lines = intact(folder, manifest, SAMPLES).splitlines(keepends=True)
        if folder.name == "probe":
            files[SAMPLES] = "".join(lines[:KEPT_SAMPLES])
        else:
            drawn = _drawn(lines)
    return Kept(manifest, files, drawn)


def _without_lists(line: str) -> str:
    """A step without what it says of every single example, which no view shows and which would be most of the file."""
    return json.dumps({key: value for key, value in json.loads(line).items() if not isinstance(value, list)}) + "\n"


def _drawn(lines: list[str]) -> str:
    """As `loop.trials.content_digest` of these samples: a sample's content is its token ids in language, `content` elsewhere."""
    rows = map(json.loads, lines)
    return digest(*(f"{row['example_id']} {row['index']} {row.get('token_ids', row.get('content'))}" for row in rows))


def keep(root: Path, unit: str, again: bool = True) -> None:
    """Bring a unit's small file up to what its folders hold; what only the file holds stays in it.

    again: read again what the file holds already, and compare it with its digests; a run that is being played has done that.

    Raises UserError when the two disagree on a phase, DamagedError when one of them is damaged.
    """
    known = read(root, unit)
    found = {}
    for phase in phase_folders(root, unit):
        if not again and phase in known and read_json(root / phase / MANIFEST) == known[phase].manifest:
            found[phase] = known[phase]
            continue
        found[phase] = from_folder(root, phase)
        if phase in known and (other := difference(known[phase].manifest, found[phase].manifest)):
            raise UserError(
                f"{root / phase}: differs from {path_of(root, unit)} in {other}; delete the one that is wrong: the file is "
                "written anew from the folder"
            )
    if found:
        write(root, unit, known | found)


def keep_all(root: Path) -> None:
    """`keep` of every unit of a run whose folders are there."""
    keep(root, SHARED)
    for label in read_json(root / "run.json")["variants"]:
        for folder in sorted((root / label).glob("seed-*")):
            if not folder.name.endswith(TAKEN):
                keep(root, f"{label}/{folder.name}")


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """The first of what the phase was made from and what was made that differs between two manifests of it."""
    for part in SAME:
        here, there = (read_back(manifest.get(part) or {}) for manifest in (one, other))
        for name in sorted(here.keys() | there.keys()):
            if here.get(name) != there.get(name):
                return f"{part} {name}: {here.get(name)!r} and {there.get(name)!r}"
    return None


def forget(root: Path, phase: str) -> None:
    """Take one phase out of its small file: it will be made again."""
    known = read(root, unit := unit_of(phase))
    if phase in known:
        write(root, unit, {name: kept for name, kept in known.items() if name != phase})


def follow_folders(root: Path) -> list[str]:
    """Take out of the small files whatever the folders beside them do not bear out; returns those phases.

    Where a cell's folder is there it is what is played on: a phase deleted or replaced in it is not to come back from the file.
    """
    dropped = []
    for unit in units(root):
        if unit != SHARED and not has_files(root / unit):
            continue
        known = read(root, unit)
        gone = [phase for phase, kept in known.items() if not _borne_out(root, unit, phase, kept)]
        if gone:
            write(root, unit, {phase: kept for phase, kept in known.items() if phase not in gone})
            dropped += gone
    return dropped


def _borne_out(root: Path, unit: str, phase: str, kept: Kept) -> bool:
    path = root / phase / MANIFEST
    if path.is_file():
        try:
            return difference(kept.manifest, dict(read_json(path))) is None
        except (DamagedError, ValueError, TypeError):
            return True  # whoever needs the folder refuses it
    return unit == SHARED and not has_files(root / phase)
