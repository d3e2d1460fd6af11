"""Verification of finished phases: manifest and files are compared with their recorded digests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from harness.errors import DamagedError, OtherFormatError
from harness.files import MANIFEST, RECOMPUTE_ADVICE, bytes_digest, content_digest, read_content, read_json, stored_path
from harness.records import PhaseManifest, digest

FORMAT_VERSION = 3
FIELD_TYPES: dict[str, type | tuple[type, ...]] = {
    "phase": str, "inputs": dict, "settings": dict, "outputs": dict, "counts": dict, "seconds": (int, float),
    "peak_memory_bytes": int, "versions": dict, "hardware": dict, "format_version": int, "checksum": str,
}  # fmt: skip


def read_manifest(folder: Path) -> dict[str, Any]:
    """The contents of a finished phase's manifest, checked as in `parse_manifest`."""
    fields = read_json(folder / MANIFEST)
    parse_manifest(folder / MANIFEST, fields)
    return fields


def parse_manifest(path: Path, fields: Any) -> PhaseManifest:
    """A phase's manifest from the contents of the file `path`. Raises DamagedError, OtherFormatError for another version."""
    if not isinstance(fields, Mapping) or type(version := fields.get("format_version")) is not int:
        raise DamagedError(f"{path}: damaged (no manifest of this program); {RECOMPUTE_ADVICE}")
    if version != FORMAT_VERSION:
        raise OtherFormatError(
            f"{path}: format version {version}, this program reads {FORMAT_VERSION}; use the version of selfplay-harness that "
            f"wrote it, or {RECOMPUTE_ADVICE}"
        )
    try:
        manifest = PhaseManifest(**fields)
        if "checksum" in fields and manifest.checksum != checksum(fields):
            raise ValueError("its checksum is of other contents")
        for name, kind in FIELD_TYPES.items():
            if not isinstance(value := getattr(manifest, name), kind):
                raise ValueError(f"{name} is {value!r:.60}")
        for name, recorded in manifest.outputs.items():
            if not isinstance(recorded, str) or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"its outputs name {name!r:.60}")
    except (TypeError, ValueError) as error:
        raise DamagedError(f"{path}: damaged ({error}); {RECOMPUTE_ADVICE}") from error
    return manifest


def checksum(fields: Mapping[str, Any]) -> str:
    """Digest of a manifest without its own checksum."""
    return digest(json.dumps({key: value for key, value in fields.items() if key != "checksum"}, sort_keys=True))


def find_damage(folder: Path, manifest: PhaseManifest) -> str | None:
    """The first damaged file of a finished phase and what is wrong with it; None when all are as committed."""
    for name, recorded in manifest.outputs.items():
        path = stored_path(folder / name)
        if not path.is_file():
            return f"{path}: missing"
        try:
            actual = content_digest(path)
        except DamagedError as error:
            return str(error).removesuffix(f"; {RECOMPUTE_ADVICE}")
        if actual != recorded:
            return f"{path}: damaged (digest {actual}, committed as {recorded})"
    return None


def read_verified(folder: Path, manifest: Mapping[str, Any], name: str) -> str:
    """The text of a phase's file, unpacked. Raises DamagedError when it is not what was committed."""
    path = stored_path(folder / name)
    try:
        raw = read_content(path)
    except FileNotFoundError:
        raise DamagedError(f"{path}: missing; {RECOMPUTE_ADVICE}") from None
    if bytes_digest(raw) != manifest["outputs"].get(name):
        raise DamagedError(f"{path}: damaged (not what was committed); {RECOMPUTE_ADVICE}")
    return raw.decode("utf-8")


def unused_name(path: Path) -> Path:
    """`NAME.damaged` beside a folder, or the first unused `NAME.N.damaged`: what was set aside before stays."""
    names = itertools.chain([path.name], (f"{path.name}.{n}" for n in itertools.count(2)))
    return next(aside for aside in (path.with_name(f"{name}.damaged") for name in names) if not aside.exists())
