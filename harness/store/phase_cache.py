"""Finished phases of other runs, looked up by inputs: a phase with equal inputs is linked instead of computed again.

Two phases are the same when their kind, inputs (digests of weights, examples, samples and task documents), settings, base model
and library versions are. A linked phase is checked against its recorded digests, and its manifest has the source.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import UserError, system_error_line
from harness.files import MANIFEST, folder_digests, read_json, walk
from harness.records import digest
from harness.settings.safe_paths import RESERVED_SUFFIXES
from harness.store.provenance import NUMBERS_KEY, PROGRAM, package_versions
from harness.store.run_folder import FORMAT_VERSION, PhaseResult, RunFolder
from harness.store.verification import find_damage

# Phases made under other versions of these are computed again.
KEY_VERSIONS = ("torch", "transformers", "peft", "lm_eval", "tokenizers", PROGRAM, NUMBERS_KEY, "vllm")


class PhaseCache:
    """The runs beside `run` that were made with the same base model; read once, at the first lookup.

    None of their files is needed: what is damaged, foreign, changing or unreadable is skipped and noted in the journal.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def find(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> PhaseResult | None:
        """An undamaged finished phase of another run with exactly these inputs and settings; None when there is none."""
        for path in self._phases_by_key.get(_phase_key(Path(relative).name, inputs, settings, package_versions()), ()):
            with self._skip_on_error(path):
                result = RunFolder(path.parent).find_phase(path.name)
                if result is None:
                    raise UserError(f"{path}: gone")
                if damage := find_damage(path, result.manifest):
                    raise UserError(damage)
                special = (p for p in walk(path) if p.is_symlink() or not (p.is_file() or p.is_dir()))
                if (special_file := next(special, None)) is not None:  # flushing a linked FIFO would block
                    raise UserError(f"{special_file}: neither a file nor a folder")
                if unexpected := sorted(folder_digests(path).keys() - result.manifest.outputs.keys()):
                    raise UserError(f"{path / unexpected[0]}: not among what was committed")
                return result
        return None

    def link_into_run(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> bool:
        """Commit the phase of `find` as the run's own. False when there is none, or it has gone meanwhile."""
        self.run.check_lock()
        result = self.find(relative, inputs, settings)
        if result is None:
            return False
        try:
            self.run.link_from(relative, result)
            return True
        except OSError as error:
            self.run.check_lock()
            line = system_error_line(error, self.run.root / relative)
            is_theirs = isinstance(error.filename, str) and Path(error.filename).is_relative_to(result.path)
            if line is not None and not is_theirs:
                raise UserError(line) from error
            self._log_skipped(result.path, error)
        return False

    @cached_property
    def _phases_by_key(self) -> dict[str, list[Path]]:
        own_record = self.run.record() or {}
        phases: dict[str, list[Path]] = {}
        for root in self._other_runs():
            with self._skip_on_error(root):
                if _model_of(read_json(require_file(root / "run.json"))) != _model_of(own_record):
                    continue
                for path in sorted(path for path in walk(root) if path.name == MANIFEST):
                    if path.parent.suffix not in RESERVED_SUFFIXES:
                        with self._skip_on_error(path):
                            manifest = read_json(require_file(path))
                            if manifest["format_version"] == FORMAT_VERSION:
                                key_parts = (manifest[part] for part in ("inputs", "settings", "versions"))
                                phases.setdefault(_phase_key(path.parent.name, *key_parts), []).append(path.parent)
        return phases

    def _other_runs(self) -> list[Path]:
        with self._skip_on_error(self.run.root.parent):
            folders = [self.run.root.with_name(name) for name in sorted(os.listdir(self.run.root.parent))]
            return [folder for folder in folders if folder != self.run.root and os.path.lexists(folder / "run.json")]
        return []

    @contextlib.contextmanager
    def _skip_on_error(self, path: Path) -> Iterator[None]:
        """An unreadable file of another run is skipped and noted in the journal."""
        try:
            yield
        except (UserError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError) as error:
            self._log_skipped(path, error)

    def _log_skipped(self, path: Path, error: BaseException) -> None:
        reason = str(UserError(f"{type(error).__name__}: {error}"))
        self.run.journal("neighbour passed over", where=os.path.relpath(path, self.run.root), reason=reason)


def require_file(path: Path) -> Path:
    """The path of a regular file. Raises UserError for anything else, whose reading might block forever."""
    if not path.is_file():
        raise UserError(f"{path}: no regular file")
    return path


def _model_of(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two runs must agree in to share phases: format, base model and how it is loaded."""
    return record.get("format_version"), record.get("base_digest"), record.get("identity", {}).get("model")


def _phase_key(kind: str, inputs: Mapping[str, str], settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    key_versions = {name: versions.get(name) for name in KEY_VERSIONS}
    return digest(json.dumps([kind, dict(inputs), dict(settings), key_versions], sort_keys=True))
