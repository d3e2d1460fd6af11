"""Copies of the files of a run's objectives, in its `objectives/`, identified by the digest in run.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.discovery.variants import Variant
from harness.errors import DamagedError
from harness.files import write_bytes
from harness.records import digest
from harness.store.run_folder import RunFolder

COPIES_FOLDER = "objectives"


def save_copy(run: RunFolder, variant: Variant, recorded_variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Copy the variant's file into the run folder where that has no equal copy; a damaged copy is set aside.

    recorded_variants: those in run.json. Where one of them was trained with another file of the same name, that copy stays, and
    this one has its digest in its name.
    """
    same_name = (recorded for recorded in recorded_variants.values() if recorded["name"] == variant.name)
    other_digests = {recorded["source_digest"] for recorded in same_name} - {variant.source_digest}
    relative = f"{COPIES_FOLDER}/{variant.name}.py"
    if _copy_digest(run.root / relative) in other_digests:
        relative = f"{COPIES_FOLDER}/{variant.name}-{variant.source_digest}.py"
    target = run.root / relative
    if (actual_digest := _copy_digest(target)) == variant.source_digest:
        return
    if actual_digest is not None or target.exists():
        run.set_aside(relative, f"{target}: damaged (digest {actual_digest}, trained with {variant.source_digest})")
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, variant.path.read_bytes())


def check_copies(root: Path, recorded_variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises DamagedError where a copy is none of the files that its objective was trained with. A missing copy is allowed."""
    digests_by_name: dict[str, set[str]] = {}
    for variant in recorded_variants.values():
        digests_by_name.setdefault(variant["name"], set()).add(variant["source_digest"])
    for name, digests in digests_by_name.items():
        stems = [name, *(f"{name}-{source_digest}" for source_digest in digests)]
        for path in (root / COPIES_FOLDER / f"{stem}.py" for stem in stems):
            if (actual_digest := _copy_digest(path)) is not None and actual_digest not in digests:
                raise DamagedError(
                    f"{path}: damaged (digest {actual_digest}, trained with {', '.join(sorted(digests))}); repeat the run's "
                    "command, which sets it aside and writes it anew"
                )


def _copy_digest(path: Path) -> str | None:
    return digest(path.read_bytes()) if path.is_file() else None
