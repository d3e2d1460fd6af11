"""Whether a finished phase is what was committed: its manifest and every file against their recorded digests."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DamagedError
from harness.files import MANIFEST, bytes_digest, file_digest
from harness.records import PhaseManifest, digest

AGAIN = "repeat the run's command with --recompute to set its phase aside and make it again"


def read_manifest(folder: Path, fields: Mapping[str, Any]) -> PhaseManifest:
    """The manifest of a phase from its fields. Raises DamagedError when they are not those that were written."""
    kept = {**fields, "checksum": ""}
    if "checksum" in fields and fields["checksum"] != checksum(kept):
        raise DamagedError(f"{folder / MANIFEST}: damaged (its checksum is of other contents)")
    try:
        return PhaseManifest(**fields)
    except TypeError as error:
        raise DamagedError(f"{folder / MANIFEST}: damaged ({error})") from error


def checksum(fields: Mapping[str, Any]) -> str:
    """Names a manifest's contents, its own checksum left out."""
    return digest(json.dumps({key: value for key, value in fields.items() if key != "checksum"}, sort_keys=True))


def harm(folder: Path, manifest: PhaseManifest) -> str | None:
    """The first file of a finished phase that is not what was committed, and how; None when all are."""
    for name, recorded in manifest.outputs.items():
        path = folder / name
        if not path.is_file():
            return f"{path}: missing"
        if (found := file_digest(path)) != recorded:
            return f"{path}: damaged (digest {found}, committed as {recorded})"
    return None


def intact(folder: Path, manifest: Mapping[str, Any], name: str) -> str:
    """The text of a phase's file. Raises DamagedError when it is not what was committed."""
    path = folder / name
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise DamagedError(f"{path}: missing; {AGAIN}") from None
    if bytes_digest(raw) != manifest["outputs"].get(name):
        raise DamagedError(f"{path}: damaged (not what was committed); {AGAIN}")
    return raw.decode("utf-8")


def free_name(path: Path) -> Path:
    """`NAME.damaged` beside a folder, or the first `NAME.N.damaged` that is free: what was set aside before stays."""
    names = itertools.chain([path.name], (f"{path.name}.{n}" for n in itertools.count(2)))
    return next(aside for aside in (path.with_name(f"{name}.damaged") for name in names) if not aside.exists())
