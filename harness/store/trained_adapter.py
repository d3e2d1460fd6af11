"""The adapter that a finished training left in a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.files import MANIFEST
from harness.records import INITIAL
from harness.store.adapter_files import ADAPTER_FILE
from harness.store.finished_phases import FinishedPhases
from harness.store.opening import as_argument
from harness.store.run_folder import RunFolder


def initial_adapter(run: RunFolder, seed: int) -> Path | None:
    """The adapter that every trial of a seed starts from, where the run holds it."""
    folder = run.root / INITIAL / f"seed-{seed}" / "adapter"
    return folder if (folder / MANIFEST).is_file() else None


def variant_folder(root: Path, record: Mapping[str, Any], name: str) -> str:
    """The folder of a variant given by it or by the name that it is shown as. Raises UserError with the nearest name."""
    folders = {variant.get("shown_as") or folder: folder for folder, variant in record["variants"].items()}
    folders = {folder: folder for folder in record["variants"]} | folders
    if name not in folders:
        raise UserError(f'{root}: no objective "{name}"{did_you_mean(name, folders)}')
    return folders[name]


def find_adapter(run: RunFolder, label: str, seed: int | None, iteration: int | None) -> tuple[Path, int, int]:
    """A checkpoint's adapter, seed and iteration (default: first seed, last iteration). UserError for an unfinished one."""
    record = run.record()
    assert record is not None
    label = variant_folder(run.root, record, label)
    seed = int(record["seeds"][0]) if seed is None else seed
    iteration = int(record["iterations"]) - 1 if iteration is None else iteration
    trial = f"{label}/seed-{seed}"
    folder = run.root / trial / f"iteration-{iteration}" / "train" / "adapter"
    has_adapter = (folder / ADAPTER_FILE).is_file()
    if not has_adapter and FinishedPhases(run.root).only_small_file(trial):
        raise UserError(
            f"{folder}: no adapter, only the small files of {trial} are here (it was pruned, or never copied); go to the machine "
            "that trained it"
        )
    if not has_adapter or not (folder.parent / MANIFEST).is_file():
        raise UserError(
            f"{folder}: no adapter of a finished training; see what is complete with: harness status {as_argument(run.root)}"
        )
    return folder, seed, iteration
