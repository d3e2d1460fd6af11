"""The file of every objective of a run, kept in its `objectives/` and known by the digest in run.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.discovery.variants import Variant
from harness.errors import DamagedError
from harness.files import write_bytes
from harness.records import digest
from harness.store.run_folder import RunFolder

FOLDER = "objectives"


def keep_copy(run: RunFolder, variant: Variant, played: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the variant's file beside the run where it is not there as it was played; a damaged copy is set aside.

    played: the variants in run.json. Where one of them was played with another file of the same name, that copy stays, and this
    one has its digest in its name.
    """
    others = {known["source_digest"] for known in played.values() if known["name"] == variant.name} - {variant.source_digest}
    place = f"{FOLDER}/{variant.name}.py"
    if _found(run.root / place) in others:
        place = f"{FOLDER}/{variant.name}-{variant.source_digest}.py"
    target = run.root / place
    if (found := _found(target)) == variant.source_digest:
        return
    if found is not None or target.exists():
        run.set_aside(place, f"{target}: damaged (digest {found}, played with {variant.source_digest})")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, variant.path.read_bytes())


def refuse_damaged_copies(root: Path, played: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises DamagedError where a copy is of no file that its objective was played with. One that is not there is no fault."""
    known: dict[str, set[str]] = {}
    for variant in played.values():
        known.setdefault(variant["name"], set()).add(variant["source_digest"])
    for name, digests in known.items():
        for path in (root / FOLDER / f"{name}.py", *(root / FOLDER / f"{name}-{one}.py" for one in digests)):
            if (found := _found(path)) is not None and found not in digests:
                raise DamagedError(
                    f"{path}: damaged (digest {found}, played with {', '.join(sorted(digests))}); repeat the run's command, "
                    "which sets it aside and writes it anew"
                )


def _found(path: Path) -> str | None:
    return digest(path.read_bytes()) if path.is_file() else None
