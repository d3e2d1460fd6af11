"""From the hub into a mirror: each repository at one commit, every file compared with the hub's checksum.

An item is fetched into `.partial/` and moved to its place when it is complete, so nothing half-fetched ever has its final name.
Files that are there and intact are not fetched again. Weights are taken as safetensors alone; no Python file and no pickle is
ever fetched.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import UserError, error_line
from harness.files import commit_file, commit_folder
from harness.progress import Reporter
from harness.sources.hub import hub_api, wrap_hub_errors
from harness.sources.mirror import (
    Entry,
    FileRecord,
    HubItem,
    MirrorManifest,
    check_file_name,
    check_revision,
    find_damage,
    locate_item,
    read_manifest,
    relative_dir,
    sha256,
    write_manifest,
)
from harness.store.adapter_files import ADAPTER_FILE, CONFIG_FILE
from harness.store.lease import Lease, Notify, folder_lock

PARTIAL = ".partial"
MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.tiktoken", "vocab.txt", "merges.txt")
MODEL_TEMPLATE_FILES = "additional_chat_templates/*.jinja"  # the one folder of a model's repository that transformers reads
MODEL_EXCLUDES = ("consolidated*", "adapter_*", "*.bin.index.json", "*.h5.index.json", "*.msgpack.index.json")
DATA_EXCLUDES = ("*.py", "*.pkl", "*.pickle", "*.bin", "*.pt", "*.pth", "*.ckpt")
DATASET_CONFIG_FILE = ".huggingface.yaml"  # of a data set; every other hidden file is left out
DESCRIPTION_FILES = ("*.md", "*.yaml", "dataset_infos.json", "LICENSE*")


@dataclass(frozen=True)
class FetchPlan:
    """One item, and the size in bytes of each file to fetch. skip_reason: why there is nothing to do; gated: its terms must be
    accepted on its page."""

    item: HubItem
    commit: str | None
    sizes: Mapping[str, int]
    skip_reason: str = ""
    gated: bool = False

    def __str__(self) -> str:
        commit = f" at {self.commit[:12]}" if self.commit else ""
        if self.skip_reason:
            return f"{self.item}{commit}: {self.skip_reason}"
        total = sum(self.sizes.values()) / 1e6
        size = f"{len(self.sizes)} files, {total:,.1f} MB" if self.sizes else "from this machine, or NLTK's server"
        gated = "; gated: accept its terms on the hub and log in first" if self.gated else ""
        return f"{self.item}{commit}: {size}{gated}"


def fetch(items: Sequence[HubItem], mirror: Path, reporter: Reporter) -> None:
    """Fetch everything into the folder `mirror` and enter it in mirror.json. Prints the plan first, then fetches.

    Raises UserError for items that the hub lacks, denies or delivers damaged, and when it cannot be reached; what was complete
    by then is kept, and the same call goes on from there.
    """
    with _lock_mirror(mirror, reporter.show_line):
        plans = [_plan_item(item, mirror, read_manifest(mirror)) for item in items]
        for plan in plans:
            reporter.show_line(str(plan))
        for plan in plans:
            if not plan.skip_reason:
                with wrap_hub_errors(plan.item, mirror):
                    (_download_nltk if plan.item.kind == "nltk" else _download)(plan, mirror, reporter)
        shutil.rmtree(mirror / PARTIAL, ignore_errors=True)


def _lock_mirror(mirror: Path, notify: Notify) -> AbstractContextManager[Lease]:
    return folder_lock(mirror, notify, f"--to {mirror}", "is fetching into this folder; wait for it", "name another folder")


def _plan_item(item: HubItem, mirror: Path, manifest: MirrorManifest) -> FetchPlan:
    """An entry of the mirror stays at its commit; anything else is looked up on the hub."""
    folder = relative_dir(item.kind, item.id)
    entry = manifest.entry(item.kind, item.id)
    if entry is not None:
        check_revision(mirror, entry, item)
        damaged = {name: entry.files[name].size for name, _ in find_damage(mirror, entry, check_large_files=True)}
        return FetchPlan(item, entry.commit, damaged, "" if damaged else "there and intact")
    if (mirror / folder).exists() and not any(relative_dir(e.kind, e.id) == folder for e in manifest.entries):
        return FetchPlan(item, None, {}, f"{locate_item(mirror, item)} was put there by hand; taken as it is")
    if item.kind == "nltk":
        return FetchPlan(item, None, {})
    with wrap_hub_errors(item, mirror):
        info = hub_api().repo_info(item.id, revision=item.revision, repo_type=item.repo_type, files_metadata=True)
    remote_files = {file.rfilename: file for file in getattr(info, "siblings", None) or ()}
    for name in remote_files:
        check_file_name(name, str(item))
    sizes = {name: remote_files[name].size or 0 for name in select_files(item, remote_files)}
    return FetchPlan(item, info.sha, sizes, gated=bool(info.gated))


def select_files(item: HubItem, names: Iterable[str]) -> list[str]:
    """The files of a repository that a run reads. Raises UserError when what it needs is not among them."""
    if item.kind == "data":
        visible = [n for n in names if n == DATASET_CONFIG_FILE or not any(part.startswith(".") for part in n.split("/"))]
        selected = [n for n in visible if not _matches_any(n, DATA_EXCLUDES)]
        has_data = any(not _matches_any(n, DESCRIPTION_FILES) for n in selected)
        missing = [] if has_data else ["data files (a loading script is not run)"]
    else:
        needed = (CONFIG_FILE, ADAPTER_FILE) if item.kind == "adapter" else ("config.json", "*.safetensors")
        selected = [n for n in names if (n in needed if item.kind == "adapter" else _is_model_file(n))]
        missing = [pattern for pattern in needed if not any(fnmatchcase(n, pattern) for n in selected)]
    if missing:
        pickled = "; pickled weights are not read" if any(name.endswith(".safetensors") for name in missing) else ""
        raise UserError(f"{item}: its repository has no {' and no '.join(missing)}{pickled}; name another")
    return sorted(selected)


def _is_model_file(name: str) -> bool:
    is_file_of_root = "/" not in name and _matches_any(name, MODEL_FILES) and not _matches_any(name, MODEL_EXCLUDES)
    return is_file_of_root or fnmatchcase(name, MODEL_TEMPLATE_FILES)


def _matches_any(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _download(plan: FetchPlan, mirror: Path, reporter: Reporter) -> None:
    """Every file of the plan, but for those that an interrupted call has fetched; then the entry, then all to its place."""
    item = plan.item
    partial = mirror / PARTIAL / relative_dir(item.kind, item.id)
    api = hub_api(progress_bars=reporter.draws_bars)
    repository: dict[str, Any] = {"repo_id": item.id, "repo_type": item.repo_type, "revision": plan.commit, "local_dir": partial}
    api.snapshot_download(**repository, allow_patterns=[glob.escape(name) for name in plan.sizes])
    checked = api.verify_repo_checksums(**repository)
    mismatches = {mismatch["path"] for mismatch in checked.mismatches}
    damaged = [name for name in plan.sizes if name in mismatches or not (partial / name).is_file()]
    for name in damaged:
        (partial / name).unlink(missing_ok=True)
    if damaged:
        raise UserError(f"{item}: {damaged[0]} was damaged in transfer; repeat the command to fetch it again")
    for path in list(partial.rglob("*")):  # the hub library's own notes, and what an earlier commit had
        if path.is_file() and path.relative_to(partial).as_posix() not in plan.sizes:
            path.unlink()
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    _finalize(item, plan.commit, mirror)
    reporter.show_line(f"  {item}: {len(plan.sizes)} files")


def _finalize(item: HubItem, commit: str | None, mirror: Path) -> None:
    """Enter what lies in `.partial` into mirror.json and move it to its place: interrupted in between, it is missing, not half
    there."""
    folder, partial = (mirror / base / relative_dir(item.kind, item.id) for base in ("", PARTIAL))
    paths = sorted(path for path in partial.rglob("*") if path.is_file())
    files = {p.relative_to(partial).as_posix(): FileRecord(size=p.stat().st_size, sha256=sha256(p)) for p in paths}
    manifest = read_manifest(mirror)
    if (previous := manifest.entry(item.kind, item.id)) is not None:
        entry = previous.model_copy(update={"files": {**previous.files, **files}})
    else:
        entry = Entry(kind=item.kind, id=item.id, revision=item.revision, commit=commit, files=files)
    write_manifest(mirror, manifest.with_entry(entry))
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        commit_folder(partial, folder)
        return
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        commit_file(partial / name, folder / name)


def _download_nltk(plan: FetchPlan, mirror: Path, reporter: Reporter) -> None:
    """NLTK's resource as this machine has it, else as NLTK downloads it."""
    item = plan.item
    partial = mirror / PARTIAL / relative_dir("nltk", item.id)
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        import nltk

        source = _nltk_folder(item.id)
        if source is None:
            root = str(partial.parent.parent)
            nltk.data.path.insert(0, root)  # NLTK writes below its data folders only
            try:
                nltk.download(item.id, download_dir=root, quiet=True, raise_on_error=True)
            finally:
                nltk.data.path.remove(root)
        else:
            shutil.copytree(source, partial)
    except ImportError as error:
        raise UserError(f'{item}: needs the package nltk on this machine; install it with: pip install "nltk"') from error
    except Exception as error:  # no network, another index, no right to write: each means that it cannot be fetched
        raise UserError(
            f"{item}: not on this machine and not to be downloaded ({error_line(error)}); install it with: "
            f"python -m nltk.downloader {item.id}, then repeat the command"
        ) from error
    if not partial.is_dir():
        raise UserError(f"{item}: NLTK downloaded no files; install it with: python -m nltk.downloader {item.id}")
    _finalize(item, None, mirror)
    reporter.show_line(f"  {item}: from {source or 'its server'}")


def _nltk_folder(resource: str) -> Path | None:
    import nltk

    try:
        folder = Path(str(nltk.data.find(f"tokenizers/{resource}")))
    except LookupError:
        return None
    return folder if folder.is_dir() else None
