"""The run folder: paths, commit by rename, resume, journal, lock. Independent of what a phase computes.

A phase works in `NAME.partial/`, writes `manifest.json` last, and the folder is renamed to `NAME`: the manifest exists if
and only if the phase is complete, and renaming onto a finished folder is refused by the operating system. What an interrupted
attempt stored in `NAME.partial/unfinished/` is reused, where intact, by the next one with the same inputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import DamagedError, OtherFormatError, UserError, explain_system_errors
from harness.files import MANIFEST, RECOMPUTE_ADVICE, commit_folder, folder_digests, read_json, write_json
from harness.records import PhaseManifest
from harness.security.redact import redact
from harness.settings.toml_files import flat_items
from harness.store import small_files
from harness.store.finished_phases import FinishedPhases
from harness.store.lease import LEASE, Lease, Notify, folder_lock
from harness.store.phase_writer import PhaseWriter, record_hardware, set_attempt_aside, start_attempt
from harness.store.provenance import package_versions, peak_memory_bytes, reset_peak_memory
from harness.store.small_files import SMALL_FILES_FOLDER, first_difference, remove_phase
from harness.store.verification import FORMAT_VERSION, checksum, find_damage, read_manifest, unused_name


@dataclass(frozen=True)
class PhaseResult:
    """A complete phase: its folder and its manifest."""

    path: Path
    manifest: PhaseManifest

    def digest_of(self, name: str) -> str:
        return self.manifest.outputs[name]


class RunFolder:
    """`results/<run>/` on disk. One process at a time holds its lease while it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hardware: dict[str, str] = {}  # the machine of phases made from now on, for their manifests
        self.show_line: Callable[[str], None] = lambda line: None  # shows a notice; the journal has it too
        self._notices_shown: set[str] = set()
        self.lease: Lease | None = None  # while the run is locked; checked before every commit

    @property
    def name(self) -> str:
        return self.root.name

    @contextlib.contextmanager
    def lock(self, notify: Notify | None = None) -> Iterator[None]:
        """Lock the run for writing. notify: called with a line where that has to wait. Raises UserError when another process
        holds it or the folder cannot be written."""
        with folder_lock(self.root, notify) as self.lease:
            try:
                yield
            finally:
                self.lease = None

    def join_lock(self) -> None:
        """Work in a run that the parent process has locked. Raises UserError when it has lost the lock."""
        lease = Lease(self.root / LEASE)
        lease.adopt()
        self.lease = lease

    def check_lock(self) -> None:
        """Raises UserError when the folder was renamed or replaced, or another process has taken it, since it was locked."""
        if self.lease is not None:
            self.lease.check()

    def find_phase(self, relative: str) -> PhaseResult | None:
        """The phase at `relative` if it is complete, else None. Raises OtherFormatError and DamagedError as `parse_manifest`."""
        path = self.root / relative
        return PhaseResult(path, PhaseManifest(**read_manifest(path))) if (path / MANIFEST).is_file() else None

    def phases(self) -> list[str]:
        """The folders of the run that hold a manifest, intact or not, without those set aside or unfinished."""
        return small_files.phase_folders(self.root)

    def verify_phases(self, phases: Iterable[str], recompute: bool) -> None:
        """Compare these phases' files with their digests; `recompute` sets damage aside, else DamagedError, OtherFormatError."""
        for relative in phases:
            try:
                result = self.find_phase(relative)
                damage = find_damage(result.path, result.manifest) if result else None
                if damage is not None:
                    raise DamagedError(f"{damage}; {RECOMPUTE_ADVICE}")
            except (DamagedError, OtherFormatError) as error:
                if not recompute:
                    raise
                self.set_aside(relative, str(error))

    def set_small_files_aside(self) -> None:
        """Move small files that are damaged or of another format away; phases that only they held count as never run."""
        for unit in small_files.units(self.root):
            try:
                small_files.read_small_file(self.root, unit)
            except (DamagedError, OtherFormatError) as error:
                relative = small_files.small_file_path(self.root, unit).relative_to(self.root).as_posix()
                self.set_aside(relative, str(error).partition("; ")[0])

    def set_aside(self, relative: str, reason: str) -> None:
        """Rename a phase, or a file, to an unused name, so that it is made again; nothing is deleted.

        reason: what is wrong with it; the advice to use `--recompute` is left out.
        """
        reason = reason.removesuffix(f"; {RECOMPUTE_ADVICE}").removesuffix(f", or {RECOMPUTE_ADVICE}")
        if not relative.startswith(f"{SMALL_FILES_FOLDER}/"):
            remove_phase(self.root, relative)  # else the small files would restore it
        new_path = unused_name(self.root / relative)
        (self.root / relative).rename(new_path)
        self.journal("set aside", phase=relative, where=new_path.name, reason=reason)
        self.show_line(f"{reason}; set aside as {new_path.name}, to be made again")

    def notify(self, line: str) -> None:
        """Show a line once and write it to the journal."""
        if line not in self._notices_shown:
            self._notices_shown.add(line)
            self.journal("notice", said=line)
            self.show_line(line)

    def lookup(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> PhaseResult | None:
        """The complete phase made from exactly these inputs and settings, or None. UserError names the first difference."""
        result = self.find_phase(relative)
        manifest = result.manifest if result else self.small_file_manifest(relative)
        if manifest is None:
            return None
        requested = {**dict(inputs), **_flatten(settings)}
        recorded = {**manifest.inputs, **_flatten(manifest.settings)}
        for key in sorted(requested.keys() | recorded.keys()):
            if recorded.get(key) != requested.get(key):
                raise UserError(
                    f"{self.root / relative}: made with {key}={recorded.get(key)!r}, now asked for {requested.get(key)!r}; "
                    "use --name OTHER to start afresh"
                )
        return result

    def small_file_manifest(self, relative: str) -> PhaseManifest | None:
        """The manifest of a finished phase that only the small files hold; None where its folder is there, or neither."""
        summary = FinishedPhases(self.root).from_small_file(relative).get(relative)
        return PhaseManifest(**summary.manifest) if summary else None

    def manifest_of(self, relative: str) -> PhaseManifest | None:
        """The manifest of a finished phase, from its folder or from the small files."""
        fields = FinishedPhases(self.root).manifest(relative)
        return PhaseManifest(**fields) if fields else None

    def only_recorded(self, relative: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values that the phase's manifest has, since older runs lack some; all of them for a new phase."""
        manifest = self.manifest_of(relative)
        recorded = values if manifest is None else {*manifest.inputs, *manifest.settings}
        return {key: value for key, value in values.items() if key in recorded}

    @contextlib.contextmanager
    def write_phase(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[PhaseWriter]:
        """A PhaseWriter, committed at the end; after an error the partial folder stays. UserError where the disk refuses."""
        with explain_system_errors(self.root / relative):
            try:
                with self._write_phase(relative, inputs, settings) as writer:
                    yield writer
            except OSError:
                self.check_lock()
                raise

    @contextlib.contextmanager
    def _write_phase(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[PhaseWriter]:
        self.check_lock()
        path = self.root / relative
        writer = PhaseWriter(_partial(path), self.notify)
        self._clear_target(relative)
        start_attempt(writer, {"inputs": dict(inputs), "settings": dict(settings), "versions": package_versions()})
        hardware = record_hardware(writer, self.hardware)
        reset_peak_memory()
        began = time.perf_counter()
        self.journal("started", phase=relative)
        try:
            yield writer
        except BaseException as error:
            with contextlib.suppress(OSError, UserError):
                self.journal("failed", phase=relative, error=f"{type(error).__name__}: {error}")
            raise
        self.check_lock()
        seconds = round(time.perf_counter() - began, 3)
        shutil.rmtree(writer.unfinished)
        if writer.attempt > 1:
            writer.counts["attempts"] = writer.attempt  # seconds and peak memory are the last one's
        manifest = PhaseManifest(
            phase=path.name,
            inputs=dict(inputs),
            settings=dict(settings),
            outputs=folder_digests(writer.path),
            counts=writer.counts,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(),
            versions=package_versions(),
            hardware=hardware,
            format_version=FORMAT_VERSION,
        )
        self._commit(relative, manifest)
        self.journal("committed", phase=relative, seconds=seconds)

    def link_from(self, relative: str, other: PhaseResult) -> None:
        """Commit another run's finished phase as this run's own: the same files (linked where possible), with its source."""
        partial, origin = _partial(self.root / relative), os.path.relpath(other.path, self.root)
        self._clear_target(relative)
        set_attempt_aside(partial)
        shutil.copytree(other.path, partial, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(MANIFEST))
        self._commit(relative, replace(other.manifest, counts={**other.manifest.counts, "taken_from": origin}))
        self.journal("taken over", phase=relative, source=origin)

    def _commit(self, relative: str, manifest: PhaseManifest) -> None:
        """Commit the partial folder, with the small files' manifest where they have one. Raises UserError where it differs."""
        path = self.root / relative
        recorded = self.small_file_manifest(relative)
        if recorded is not None and (differing := first_difference(asdict(recorded), asdict(manifest))):
            raise UserError(
                f"{path}: made again, it differs from what the run's small files record in {differing}; bring "
                f"the folder {relative} from the machine that made it, or run the missing trials under --name OTHER and merge "
                "both with: harness merge"
            )
        manifest = recorded or manifest
        write_json(_partial(path) / MANIFEST, replace(manifest, checksum=checksum(asdict(manifest))))
        commit_folder(_partial(path), path)

    def _clear_target(self, relative: str) -> None:
        """Set aside what has a phase's name and no manifest, as an interrupted copy leaves it; a finished phase stays."""
        path = self.root / relative
        is_occupied = path.is_file() or (path.is_dir() and any(path.iterdir()))
        if is_occupied and not (path / MANIFEST).is_file():
            self.set_aside(relative, f"{path}: not a finished phase (no {MANIFEST})")

    def journal(self, event: str, **fields: Any) -> None:
        """Append one line to journal.jsonl: what happened to which phase, in seconds since 1970."""
        self.check_lock()
        line = redact(json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=True))
        with (self.root / "journal.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def record(self) -> dict[str, Any] | None:
        """run.json, or None for a new run. Raises DamagedError where it is no JSON object."""
        path = self.root / "run.json"
        if not path.exists():
            return None
        if not isinstance(record := read_json(path), dict):
            raise DamagedError(f"{path}: damaged (no record of this program); {RECOMPUTE_ADVICE}")
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_json(self.root / "run.json", dict(record))


def _partial(path: Path) -> Path:
    """Where a phase is written before it is committed."""
    return path.with_name(path.name + ".partial")


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat_items(tree)}
