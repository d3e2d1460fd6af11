"""The run folder: paths, commit by rename, resume, journal, lock. Never knows what a phase computes.

A phase works in `NAME.partial/`, writes `manifest.json` last, and the folder is renamed to `NAME`: the manifest exists if
and only if the phase is complete, and renaming onto a finished folder is refused by the operating system.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UserError
from harness.masking import masked
from harness.records import PhaseManifest

R = TypeVar("R")
MANIFEST = "manifest.json"
FORMAT_VERSION = 3
RECORDED_PACKAGES = ("torch", "transformers", "peft", "lm_eval", "datasets", "tokenizers", "numpy", "selfplay-harness", "vllm")


# ---------------------------------------------------------------- files


def write_json(path: Path, value: Any) -> None:
    """Write whole or not at all: a temporary file beside it, flushed, then renamed."""
    write_text(path, json.dumps(_plain(value), indent=1, ensure_ascii=True, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", newline="") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Raises UserError when the file is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is this a run folder?") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({error}); delete its folder to have it made again") from error


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """One JSON object a line; returns how many. NaN is refused: a missing number is missing."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as handle:
        for row in rows:
            handle.write(json.dumps(_plain(row), ensure_ascii=True, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, record: type[R] | None = None) -> list[R]:
    """Rows of a JSON-lines file, as `record` dataclasses where one is given."""
    with path.open(encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    return [record(**row) for row in rows] if record is not None else rows


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def file_digest(path: Path) -> str:
    """16 hexadecimal digits of blake2b over the file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def folder_digests(folder: Path) -> dict[str, str]:
    """Relative path -> digest of every file below `folder`, its manifest left out."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {p.relative_to(folder).as_posix(): file_digest(p) for p in files}


# ---------------------------------------------------------------- phases


@dataclass(frozen=True)
class Finished:
    """A complete phase: where it lies and what its manifest says."""

    path: Path
    manifest: PhaseManifest

    def digest_of(self, name: str) -> str:
        return self.manifest.outputs[name]


class Draft:
    """A phase being made: write files into `path`, put numbers into `counts`, then the store commits it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counts: dict[str, Any] = {}


class RunFolder:
    """`results/<run>/` on disk. One process at a time holds its lock while it writes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def name(self) -> str:
        return self.root.name

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for writing. Raises UserError when another process holds it or the folder cannot be written."""
        from filelock import FileLock, Timeout

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / ".lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise UserError(f"{self.root}: another process is working on this run; wait for it, or use --name OTHER") from error
        except OSError as error:
            raise UserError(f"{self.root}: cannot write here ({error.strerror}); use --results DIR") from error
        try:
            yield
        finally:
            lock.release()

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
        return Finished(path, PhaseManifest(**fields))

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
        """Make a phase: yields a Draft and commits it when the block ends well; leaves the partial folder otherwise."""
        path = self.root / relative
        partial = path.with_name(path.name + ".partial")
        _set_aside(partial)
        partial.mkdir(parents=True)
        draft = Draft(partial)
        forget_peak_memory()
        began = time.perf_counter()
        self.journal("started", phase=relative)
        try:
            yield draft
        except BaseException as error:
            self.journal("failed", phase=relative, error=f"{type(error).__name__}: {error}")
            raise
        seconds = round(time.perf_counter() - began, 3)
        manifest = PhaseManifest(
            phase=path.name,
            inputs=dict(inputs),
            settings=dict(settings),
            outputs=folder_digests(partial),
            counts=draft.counts,
            seconds=seconds,
            peak_memory_bytes=peak_memory_bytes(),
            versions=package_versions(),
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
        write_json(partial / MANIFEST, manifest)
        _flush(partial)
        partial.rename(path)
        _flush(path.parent)

    def journal(self, event: str, **fields: Any) -> None:
        """Append one line to journal.jsonl: what happened to which phase, in seconds since 1970."""
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


# ---------------------------------------------------------------- provenance


STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def forget_peak_memory() -> None:
    """Let the peak be counted from now on, where the system can (Linux); elsewhere it is the process's peak so far."""
    with contextlib.suppress(OSError):
        CLEAR_REFS.write_text("5")


def peak_memory_bytes() -> int:
    """Largest resident memory since `forget_peak_memory`; on a GPU the core records device memory in its counts."""
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    scale = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


@cache
def package_versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout this program runs from; both None outside one."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    if top is None or not (Path(top) / "harness" / "store.py").exists():
        return {"git_commit": None, "git_dirty": None}
    status = git("status", "--porcelain", "--", "harness", "objectives", "pyproject.toml")
    return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": None if status is None else bool(status)}
