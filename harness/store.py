"""The run folder: paths, commit by rename, resume, journal, lock. Never knows what a phase computes.

A phase works in `NAME.partial/`, writes `manifest.json` last, and the folder is renamed to `NAME`: the manifest exists if
and only if the phase is complete, and renaming onto a finished folder is refused by the operating system. What an interrupted
attempt kept in `NAME.partial/unfinished/` is taken up again by the next one that is made from the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import DamagedError, UserError, system_line
from harness.files import MANIFEST, folder_digests, read_json, write_json
from harness.intact import AGAIN, checksum, free_name, harm, read_manifest
from harness.lease import LEASE, Lease, Say, held
from harness.masking import masked
from harness.provenance import forget_peak_memory, package_versions, peak_memory_bytes
from harness.records import PhaseManifest

UNFINISHED = "unfinished"
THEN = ", then "
FORMAT_VERSION = 3


# ---------------------------------------------------------------- phases


@dataclass(frozen=True)
class Finished:
    """A complete phase: where it lies and what its manifest says."""

    path: Path
    manifest: PhaseManifest

    def digest_of(self, name: str) -> str:
        return self.manifest.outputs[name]


class Draft:
    """A phase being made: write files into `path`, put numbers into `counts`, then the store commits it.

    `unfinished` is for what the next attempt may go on from; it is not part of the finished phase.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.unfinished = path / UNFINISHED
        self.attempt = 1
        self.counts: dict[str, Any] = {}


class RunFolder:
    """`results/<run>/` on disk. One process at a time holds its lock while it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hardware: dict[str, str] = {}  # what phases are made on from now, for their manifests
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
        """The phase at `relative` if it is complete, else None. Raises UserError on an unknown format version."""
        path = self.root / relative
        if not (path / MANIFEST).is_file():
            return None
        fields = read_json(path / MANIFEST)
        if fields.get("format_version") != FORMAT_VERSION:
            raise UserError(
                f"{path}: format version {fields.get('format_version')!r}, this program reads {FORMAT_VERSION}; "
                "use the version of selfplay-harness that wrote it"
            )
        return Finished(path, read_manifest(path, fields))

    def check(self, phases: Iterable[str], recompute: bool) -> None:
        """Compare every file of the finished phases named with what was committed; damaged ones are set aside to be made again.

        Raises DamagedError naming the first damaged file where that is not asked for (`recompute`).
        """
        for relative in phases:
            try:
                done = self.finished(relative)
                harmed = harm(done.path, done.manifest) if done else None
            except DamagedError as error:
                harmed = str(error)
            if harmed is None:
                continue
            if not recompute:
                raise DamagedError(f"{harmed}; {AGAIN}")
            aside = free_name(self.root / relative)
            (self.root / relative).rename(aside)
            self.journal("set aside", phase=relative, where=aside.name, reason=harmed)

    def reusable(self, relative: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> Finished | None:
        """The complete phase made from exactly these inputs and settings; None when there is none yet.

        Raises UserError naming the first difference when it was made from something else.
        """
        done = self.finished(relative)
        if done is None:
            return None
        asked = {**dict(inputs), **_flat(settings)}
        recorded = {**done.manifest.inputs, **_flat(done.manifest.settings)}
        for key in sorted(asked.keys() | recorded.keys()):
            if recorded.get(key) != asked.get(key):
                raise UserError(
                    f"{done.path}: made with {key}={recorded.get(key)!r}, now asked for {asked.get(key)!r}; "
                    "use --name OTHER to start afresh"
                )
        return done

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
        draft = Draft(partial)
        _begin(draft, {"inputs": dict(inputs), "settings": dict(settings), "versions": package_versions()})
        hardware = _made_on(draft, self.hardware)
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
        manifest = PhaseManifest(
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
        self._commit(partial, path, manifest)
        self.journal("committed", phase=relative, seconds=seconds)

    def take_over(self, relative: str, other: Finished) -> None:
        """Commit another run's finished phase as this run's own: the same files (linked where possible), and where from."""
        path = self.root / relative
        partial = path.with_name(path.name + ".partial")
        _set_aside(partial)
        shutil.copytree(other.path, partial, copy_function=_link_or_copy, ignore=shutil.ignore_patterns(MANIFEST))
        origin = os.path.relpath(other.path, self.root)
        self._commit(partial, path, replace(other.manifest, counts={**other.manifest.counts, "taken_from": origin}))
        self.journal("taken over", phase=relative, source=origin)

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
        """run.json, or None for a new run."""
        path = self.root / "run.json"
        return read_json(path) if path.exists() else None

    def write_record(self, record: Mapping[str, Any]) -> None:
        write_json(self.root / "run.json", dict(record))


def _begin(draft: Draft, made_from: Mapping[str, Any]) -> None:
    """An empty folder but for what an earlier attempt at the same left to go on from; everything else is set aside."""
    begun, said = draft.unfinished / "begun.json", json.loads(json.dumps(dict(made_from)))
    try:
        same = json.loads(begun.read_text(encoding="utf-8")) == said
    except (OSError, ValueError):
        same = False
    if not same:
        _set_aside(draft.path)
        draft.unfinished.mkdir(parents=True)
        write_json(begun, said)
    leftovers = [path for path in draft.path.iterdir() if path != draft.unfinished]
    if leftovers:
        abandoned = draft.path.with_suffix(".abandoned")
        shutil.rmtree(abandoned, ignore_errors=True)
        abandoned.mkdir()
        for path in leftovers:
            path.rename(abandoned / path.name)
    attempts = draft.unfinished / "attempts.json"
    draft.attempt = 1 + (read_json(attempts) if attempts.is_file() else 0)
    write_json(attempts, draft.attempt)


def _made_on(draft: Draft, now: Mapping[str, str]) -> dict[str, str]:
    """The machine of this attempt; where an earlier one, whose work is gone on from, had another: both, in this order."""
    path = draft.unfinished / "hardware.json"
    before = read_json(path) if path.is_file() else {}
    both = {
        key: was if (was := before.get(key, value)).split(THEN)[-1] == value else was + THEN + value for key, value in now.items()
    }
    write_json(path, both)
    return both


def _set_aside(partial: Path) -> None:
    """An interrupted attempt is kept beside the new one until the next interruption, for whoever wants to look."""
    if partial.exists():
        abandoned = partial.with_suffix(".abandoned")
        shutil.rmtree(abandoned, ignore_errors=True)
        partial.rename(abandoned)


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
