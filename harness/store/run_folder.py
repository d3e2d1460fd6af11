"""The run folder: paths, commit by rename, resume, journal, lease. Never knows what a phase computes.

A phase works in `NAME.partial/`, writes `manifest.json` last, and the folder is renamed to `NAME`: the manifest exists if
and only if the phase is complete, and renaming onto a finished folder is refused by the operating system. What an interrupted
attempt kept in `NAME.partial/unfinished/` is taken up again by the next one that is made from the same, where it is intact.
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

from harness.errors import DamagedError, OtherFormatError, UserError, system_line
from harness.files import AGAIN, MANIFEST, folder_digests, read_json, write_json
from harness.records import PhaseManifest
from harness.security.redact import masked
from harness.settings.safe_paths import TAKEN
from harness.store import small_files
from harness.store.finished_phases import Played
from harness.store.lease import LEASE, Lease, Say, held
from harness.store.phase_writer import Draft, begin, made_on, set_attempt_aside
from harness.store.provenance import forget_peak_memory, package_versions, peak_memory_bytes
from harness.store.small_files import FOLDER as FACTS
from harness.store.small_files import difference, forget
from harness.store.verification import FORMAT_VERSION, checksum, free_name, harm, read_manifest

# ---------------------------------------------------------------- phases


@dataclass(frozen=True)
class Finished:
    """A complete phase: where it lies and what its manifest says."""

    path: Path
    manifest: PhaseManifest

    def digest_of(self, name: str) -> str:
        return self.manifest.outputs[name]


class RunFolder:
    """`results/<run>/` on disk. One process at a time holds its lease while it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hardware: dict[str, str] = {}  # what phases are made on from now, for their manifests
        self.say: Callable[[str], None] = lambda line: None  # where a notice goes beside the journal
        self._noticed: set[str] = set()
        self.lease: Lease | None = None  # while the run is held; compared before anything is committed

    @property
    def name(self) -> str:
        return self.root.name

    @contextlib.contextmanager
    def locked(self, say: Say | None = None) -> Iterator[None]:
        """Hold the run for writing. say: is told where that has to wait. Raises UserError when another process holds it or the
        folder cannot be written.
        """
        with held(self.root, say) as self.lease:
            try:
                yield
            finally:
                self.lease = None

    def join(self) -> None:
        """Work in a run that the process which started this one holds. Raises UserError when it does not any more."""
        lease = Lease(self.root / LEASE)
        lease.join()
        self.lease = lease

    def check_held(self) -> None:
        """Raises UserError when the folder was renamed or replaced, or another process has taken it, since it was held."""
        if self.lease is not None:
            self.lease.check()

    def finished(self, relative: str) -> Finished | None:
        """The phase at `relative` if it is complete, else None.

        Raises OtherFormatError on an unknown format version, DamagedError where its manifest is not what was written.
        """
        path = self.root / relative
        if not (path / MANIFEST).is_file():
            return None
        return Finished(path, read_manifest(path, read_json(path / MANIFEST)))

    def phases(self) -> list[str]:
        """The folders of the run that hold a manifest, intact or not; what was set aside or is in the making is left out."""
        found = (path.parent.relative_to(self.root) for path in self.root.rglob(MANIFEST) if path.is_file())
        return sorted(one.as_posix() for one in found if not any(part.endswith(TAKEN) for part in one.parts))

    def check(self, phases: Iterable[str], recompute: bool) -> None:
        """Compare every file of the finished phases named with what was committed; damaged ones are set aside to be made again.

        Raises DamagedError naming the first damaged file, or OtherFormatError, where that is not asked for (`recompute`).
        """
        for relative in phases:
            try:
                done = self.finished(relative)
                harmed = harm(done.path, done.manifest) if done else None
                if harmed is not None:
                    raise DamagedError(f"{harmed}; {AGAIN}")
            except (DamagedError, OtherFormatError) as error:
                if not recompute:
                    raise
                self.set_aside(relative, str(error))

    def set_small_files_aside(self) -> None:
        """Move small files that are damaged or of another format out of the way; what they held counts as never played where its
        folder is not here.
        """
        for unit in small_files.units(self.root):
            try:
                small_files.read(self.root, unit)
            except (DamagedError, OtherFormatError) as error:
                relative = small_files.path_of(self.root, unit).relative_to(self.root).as_posix()
                self.set_aside(relative, str(error).partition("; ")[0])

    def set_aside(self, relative: str, reason: str) -> None:
        """Move a phase, or a file, out of the way under a name of its own, so that it is made again; nothing is deleted.

        reason: what is wrong with it; the advice to have this done is left out.
        """
        reason = reason.removesuffix(f"; {AGAIN}").removesuffix(f", or {AGAIN}")
        if not relative.startswith(f"{FACTS}/"):
            forget(self.root, relative)  # it is to be made again, not to come back from the small files
        aside = free_name(self.root / relative)
        (self.root / relative).rename(aside)
        self.journal("set aside", phase=relative, where=aside.name, reason=reason)
        self.say(f"{reason}; set aside as {aside.name}, to be made again")

    def notice(self, line: str) -> None:
        """Say a line that whoever watches should know, once, and write it down."""
        if line not in self._noticed:
            self._noticed.add(line)
            self.journal("notice", said=line)
            self.say(line)

    def reusable(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Finished | None:
        """The complete phase made from exactly these inputs and settings; None when there is none yet.

        Raises UserError naming the first difference when it was made from something else.
        """
        done = self.finished(relative)
        manifest = done.manifest if done else self.recorded(relative)
        if manifest is None:
            return None
        asked = {**dict(inputs), **_flat(settings)}
        recorded = {**manifest.inputs, **_flat(manifest.settings)}
        for key in sorted(asked.keys() | recorded.keys()):
            if recorded.get(key) != asked.get(key):
                raise UserError(
                    f"{self.root / relative}: made with {key}={recorded.get(key)!r}, now asked for {asked.get(key)!r}; "
                    "use --name OTHER to start afresh"
                )
        return done

    def recorded(self, relative: str) -> PhaseManifest | None:
        """The manifest of a finished phase that only the small files hold; None where its folder is there, or nothing is."""
        kept = Played(self.root).kept(relative).get(relative)
        return None if kept is None else read_manifest(self.root / relative, kept.manifest)

    def known(self, relative: str) -> PhaseManifest | None:
        """The manifest of a finished phase, from its folder or from the small files."""
        done = self.finished(relative)
        return done.manifest if done else self.recorded(relative)

    def as_recorded(self, relative: str, later: Mapping[str, Any]) -> dict[str, Any]:
        """Of inputs or settings that runs made before lack: those that the phase's manifest has; all of a phase to be made."""
        done = self.known(relative)
        return {key: value for key, value in later.items() if done is None or key in done.inputs or key in done.settings}

    @contextlib.contextmanager
    def open(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[Draft]:
        """Make a phase: yields a Draft and commits it when the block ends well; leaves the partial folder otherwise.

        Raises UserError where the disk is full or does not take what is written, whoever noticed it first.
        """
        try:
            with self._open(relative, inputs, settings) as draft:
                yield draft
        except Exception as error:
            if isinstance(error, OSError):
                self.check_held()
            if (line := system_line(error, self.root / relative)) is None:
                raise
            raise UserError(line) from error

    @contextlib.contextmanager
    def _open(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Iterator[Draft]:
        self.check_held()
        path = self.root / relative
        partial = path.with_name(path.name + ".partial")
        draft = Draft(partial, self.notice)
        self._make_way(relative)
        begin(draft, {"inputs": dict(inputs), "settings": dict(settings), "versions": package_versions()})
        hardware = made_on(draft, self.hardware)
        forget_peak_memory()
        began = time.perf_counter()
        self.journal("started", phase=relative)
        try:
            yield draft
        except BaseException as error:
            with contextlib.suppress(OSError, UserError):
                self.journal("failed", phase=relative, error=f"{type(error).__name__}: {error}")
            raise
        self.check_held()
        seconds = round(time.perf_counter() - began, 3)
        shutil.rmtree(draft.unfinished)
        if draft.attempt > 1:
            draft.counts["attempts"] = draft.attempt  # seconds and peak memory are the last one's
        made = PhaseManifest(
            phase=path.name,
            inputs=dict(inputs),
            settings=dict(settings),
            outputs=folder_digests(partial),
            counts=draft.counts,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(),
            versions=package_versions(),
            hardware=hardware,
            format_version=FORMAT_VERSION,
        )
        self._commit(partial, path, self._as_recorded(relative, made))
        self.journal("committed", phase=relative, seconds=seconds)

    def take_over(self, relative: str, other: Finished) -> None:
        """Commit another run's finished phase as this run's own: the same files (linked where possible), and where from."""
        path = self.root / relative
        partial = path.with_name(path.name + ".partial")
        self._make_way(relative)
        set_attempt_aside(partial)
        shutil.copytree(other.path, partial, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(MANIFEST))
        origin = os.path.relpath(other.path, self.root)
        taken = replace(other.manifest, counts={**other.manifest.counts, "taken_from": origin})
        self._commit(partial, path, self._as_recorded(relative, taken))
        self.journal("taken over", phase=relative, source=origin)

    def _as_recorded(self, relative: str, made: PhaseManifest) -> PhaseManifest:
        """The manifest to commit: that of the small files where these hold the phase, for it is the same phase again.

        Raises UserError where it is not.
        """
        before = self.recorded(relative)
        if before is not None and (other := difference(asdict(before), asdict(made))):
            raise UserError(
                f"{self.root / relative}: made again, it differs from what the run's small files record in {other}; bring the "
                f"folder {relative} from the machine that made it, or play the missing cells under --name OTHER and join both "
                "with: harness merge"
            )
        return before or made

    def _make_way(self, relative: str) -> None:
        """Set aside what has a phase's name and no manifest, as after half a copy; a finished phase stays where it is."""
        path = self.root / relative
        there = path.is_file() or (path.is_dir() and any(path.iterdir()))
        if there and not (path / MANIFEST).is_file():
            self.set_aside(relative, f"{path}: not a finished phase (no {MANIFEST})")

    @staticmethod
    def _commit(partial: Path, path: Path, manifest: PhaseManifest) -> None:
        for file in partial.rglob("*"):
            _flush(file)
        write_json(partial / MANIFEST, replace(manifest, checksum=checksum(asdict(manifest))))
        _flush(partial)
        partial.rename(path)
        _flush(path.parent)

    def journal(self, event: str, **fields: Any) -> None:
        """Append one line to journal.jsonl: what happened to which phase, in seconds since 1970."""
        self.check_held()
        line = masked(json.dumps({"time": round(time.time(), 3), "event": event, **fields}, ensure_ascii=True))
        with (self.root / "journal.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    # ------------------------------------------------------------ the run record

    def record(self) -> dict[str, Any] | None:
        """run.json, or None for a new run. Raises DamagedError where it is no object."""
        path = self.root / "run.json"
        if not path.exists():
            return None
        if not isinstance(record := read_json(path), dict):
            raise DamagedError(f"{path}: damaged (no record of this program); {AGAIN}")
        return record

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_json(self.root / "run.json", dict(record))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
