"""From the hub into a mirror: each repository at one commit, file by file, every file compared with what the hub says of it.

A thing is brought into `.partial/` and moved to its place when it is whole, so nothing half-fetched ever has its final name.
Files that are there and intact are not fetched again. Weights are taken as safetensors alone; no Python file and no pickle is
ever fetched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.errors import UserError
from harness.progress import Reporter
from harness.sources.hub import explained, hub, reason, repo_type
from harness.sources.mirror import (
    Entry,
    Held,
    Manifest,
    Wanted,
    check_name,
    check_revision,
    faults,
    found_in,
    place,
    read_manifest,
    sha256,
    write_manifest,
)
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE
from harness.store.lease import Lease, Say, held

PARTIAL = ".partial"
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
MODEL_FOLDER = "additional_chat_templates/*.jinja"  # the one folder of a model's repository that transformers reads
NOT_MODEL = ("consolidated*", "adapter_*", "*.bin.index.json", "*.h5.index.json", "*.msgpack.index.json")
NOT_DATA = ("*.py", "*.pkl", "*.pickle", "*.bin", "*.pt", "*.pth", "*.ckpt")
DESCRIPTION = ".huggingface.yaml"  # of a data set; every other hidden file is the repository's own business
WORDS = ("*.md", "*.yaml", "dataset_infos.json", "LICENSE*")


@dataclass(frozen=True)
class Expected:
    """What the hub says of a file, None where it does not. git: the SHA-1 of the file as a git blob."""

    size: int | None = None
    sha256: str | None = None
    git: str | None = None

    @property
    def known(self) -> bool:
        return self.size is not None and (self.sha256 or self.git) is not None

    def held(self, path: Path) -> Held | None:
        """The file as it stands there, None when it is missing or is not the one described."""
        if not path.is_file() or path.stat().st_size != (self.size if self.size is not None else path.stat().st_size):
            return None
        found = Held(size=path.stat().st_size, sha256=sha256(path))
        if self.sha256 is not None:
            return found if found.sha256 == self.sha256 else None
        return found if self.git in (None, git_digest(path)) else None


@dataclass(frozen=True)
class Plan:
    """One thing to fetch. done: nothing is to do, and why; gated: its page asks for an account and a click."""

    wanted: Wanted
    commit: str | None
    files: Mapping[str, Expected]
    done: str = ""
    gated: bool = False

    def __str__(self) -> str:
        commit = f" at {self.commit[:12]}" if self.commit else ""
        if self.done:
            return f"{self.wanted}{commit}: {self.done}"
        sizes = [expected.size for expected in self.files.values() if expected.size is not None]
        size = f"{len(self.files)} files, {sum(sizes) / 1e6:,.1f} MB" if self.files else "from this machine, or NLTK's server"
        gated = "; gated: accept its terms on the hub and log in first" if self.gated else ""
        return f"{self.wanted}{commit}: {size}{gated}"


def fetch(wanted: Sequence[Wanted], mirror: Path, reporter: Reporter) -> None:
    """Bring everything into the folder `mirror` and its mirror.json. Says first what there is to fetch, then fetches it.

    Raises UserError for what the hub lacks, does not give out or gives damaged, and when it cannot be reached; what was complete
    by then is kept, and the same call goes on from there.
    """
    with _locked(mirror, reporter.say):
        plans = [_plan(thing, mirror, read_manifest(mirror)) for thing in wanted]
        for plan in plans:
            reporter.say(str(plan))
        for plan in plans:
            if not plan.done:
                with explained(plan.wanted, mirror):
                    (_bring_nltk if plan.wanted.kind == "nltk" else _bring)(plan, mirror, reporter)
        shutil.rmtree(mirror / PARTIAL, ignore_errors=True)


def _locked(mirror: Path, say: Say) -> AbstractContextManager[Lease]:
    return held(mirror, say, f"--to {mirror}", "is fetching into this folder; wait for it", "name another folder")


# ---------------------------------------------------------------- what there is to fetch


def _plan(wanted: Wanted, mirror: Path, manifest: Manifest) -> Plan:
    """An entry of the mirror stays at its commit; anything else is asked of the hub."""
    folder = mirror / place(wanted.kind, wanted.id)
    entry = manifest.entry(wanted.kind, wanted.id)
    if entry is not None:
        check_revision(mirror, entry, wanted)
        files = {name: Expected(held.size, held.sha256) for name, held in entry.files.items()}
        return Plan(wanted, entry.commit, files, "" if list(faults(mirror, entry, thorough=True)) else "there and intact")
    if folder.exists() and not any(place(e.kind, e.id) == place(wanted.kind, wanted.id) for e in manifest.entries):
        return Plan(wanted, None, {}, f"{found_in(mirror, wanted)} was put there by hand; taken as it is")
    if wanted.kind == "nltk":
        return Plan(wanted, None, {})
    with explained(wanted, mirror):
        info = hub().repo_info(wanted.id, revision=wanted.revision, repo_type=repo_type(wanted), files_metadata=True)
    found = {file.rfilename: file for file in getattr(info, "siblings", None) or ()}
    for name in found:
        check_name(name, str(wanted))
    files = {}
    for name in selected(wanted, found):
        lfs = found[name].lfs
        files[name] = Expected(found[name].size, lfs.sha256 if lfs else None, None if lfs else found[name].blob_id)
    if not info.sha:
        raise UserError(f"{wanted}: the hub does not name a commit; it cannot be fetched")
    return Plan(wanted, info.sha, files, gated=bool(getattr(info, "gated", False)))


def selected(wanted: Wanted, names: Iterable[str]) -> list[str]:
    """The files of a repository that a run reads. Raises UserError when what it needs is not among them."""
    if wanted.kind == "data":
        visible = [n for n in names if n == DESCRIPTION or not any(part.startswith(".") for part in n.split("/"))]
        taken = [n for n in visible if not _like(n, NOT_DATA)]
        lacking = [] if any(not _like(n, WORDS) for n in taken) else ["data files (a loading script is not run)"]
    else:
        needed = (CONFIG_FILE, ADAPTER_FILE) if wanted.kind == "adapter" else ("config.json", "*.safetensors")
        taken = [n for n in names if (n in needed if wanted.kind == "adapter" else _of_a_model(n))]
        lacking = [pattern for pattern in needed if not any(fnmatchcase(n, pattern) for n in taken)]
    if lacking:
        pickled = "; pickled weights are not read" if any(name.endswith(".safetensors") for name in lacking) else ""
        raise UserError(f"{wanted}: its repository has no {' and no '.join(lacking)}{pickled}; name another")
    return sorted(taken)


def _of_a_model(name: str) -> bool:
    return fnmatchcase(name, MODEL_FOLDER) or ("/" not in name and _like(name, MODEL_FILES) and not _like(name, NOT_MODEL))


def _like(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


# ---------------------------------------------------------------- fetching it


def _bring(plan: Plan, mirror: Path, reporter: Reporter) -> None:
    """Every file of a repository that is not there yet, then the entry, then all to its place."""
    wanted = plan.wanted
    folder = mirror / place(wanted.kind, wanted.id)
    partial = mirror / PARTIAL / place(wanted.kind, wanted.id)
    files: dict[str, Held] = {}
    for name, expected in plan.files.items():
        held = (expected.held(folder / name) or expected.held(partial / name)) if expected.known else None
        if held is None:
            (partial / name).unlink(missing_ok=True)
            hub(bars=reporter.live).hf_hub_download(
                wanted.id, name, repo_type=repo_type(wanted), revision=plan.commit, local_dir=partial
            )
            held = expected.held(partial / name)
            if held is None:
                (partial / name).unlink(missing_ok=True)
                raise UserError(f"{wanted}: {name} came damaged; repeat the command to fetch it again")
            reporter.say(f"  {wanted}: {name}, {held.size:,} bytes")
        files[name] = held
    for path in list(partial.rglob("*")):  # the hub library's own notes, and what an earlier commit had
        if path.is_file() and path.relative_to(partial).as_posix() not in files:
            path.unlink()
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    _settle(plan, files, mirror)


def _settle(plan: Plan, files: Mapping[str, Held], mirror: Path) -> None:
    """Enter a whole thing into mirror.json and move it to its place: stopped in between, it is missing, not half there."""
    wanted = plan.wanted
    manifest = read_manifest(mirror)
    before = manifest.entry(wanted.kind, wanted.id)
    revision = before.revision if before else wanted.revision
    entry = Entry(kind=wanted.kind, id=wanted.id, revision=revision, commit=plan.commit, files=dict(files))
    write_manifest(mirror, manifest.with_entry(entry))
    folder, partial = (mirror / base / place(wanted.kind, wanted.id) for base in ("", PARTIAL))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        partial.rename(folder)
        return
    for name in files:
        if (partial / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).replace(folder / name)


def _bring_nltk(plan: Plan, mirror: Path, reporter: Reporter) -> None:
    """NLTK's resource as this machine has it, else as NLTK downloads it."""
    wanted = plan.wanted
    root = mirror / PARTIAL / place("nltk", wanted.id).parent.parent
    partial = mirror / PARTIAL / place("nltk", wanted.id)
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        import nltk

        source = _nltk_folder(wanted.id)
        if source is None:
            nltk.data.path.insert(0, str(root))  # NLTK writes below its data folders only
            try:
                nltk.download(wanted.id, download_dir=str(root), quiet=True, raise_on_error=True)
            finally:
                nltk.data.path.remove(str(root))
        else:
            shutil.copytree(source, partial)
    except ImportError as error:
        raise UserError(f'{wanted}: needs the package nltk on this machine; install it with: pip install "nltk"') from error
    except Exception as error:  # no network, another index, no right to write: each means that it is not to be had
        raise UserError(
            f"{wanted}: not on this machine and not to be downloaded ({reason(error)}); install it with: "
            f"python -m nltk.downloader {wanted.id}, then repeat the command"
        ) from error
    files = {p.relative_to(partial).as_posix(): p for p in sorted(partial.rglob("*")) if p.is_file()}
    if not files:
        raise UserError(f"{wanted}: NLTK brought no files; install it with: python -m nltk.downloader {wanted.id}")
    reporter.say(f"  {wanted}: {len(files)} files from {source or 'its server'}")
    _settle(plan, {name: Held(size=path.stat().st_size, sha256=sha256(path)) for name, path in files.items()}, mirror)


def _nltk_folder(resource: str) -> Path | None:
    import nltk

    try:
        found = Path(str(nltk.data.find(f"tokenizers/{resource}")))
    except LookupError:
        return None
    return found if found.is_dir() else None


def git_digest(path: Path) -> str:
    """What git names a file's contents by, the hub's one checksum of files outside LFS: SHA-1 over a header and the bytes."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
