"""A folder in place of the hub: where its items lie, what mirror.json records of them, and whether they are intact.

    DIR/ORG/NAME/...          data sets, under their hub id
    DIR/models/ORG/NAME/...   models and adapters
    DIR/nltk_data/...         NLTK's resources
    DIR/mirror.json           per entry: kind, id, revision requested, commit, and size and SHA-256 of every file

`harness fetch` writes it. A folder without an entry was put there by hand and is taken as it is. A cache of the hub's libraries
(HF_HOME, or its folder `hub`) can stand in its place. Nothing here uses a network.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from harness.config import Section
from harness.errors import UserError
from harness.files import write_json
from harness.settings.paths import resolve_path
from harness.sources.confinement import DATASET_CARD_FILES, outside_references

Kind = Literal["model", "adapter", "data", "nltk"]
MANIFEST_FILE = "mirror.json"
FORMAT_VERSION = 1
MODELS_FOLDER, NLTK_FOLDER = "models", "nltk_data"
SMALL_FILE_BYTES = 64 << 20  # bytes; at the start of a run smaller files are read and compared, larger ones by their size alone
HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
ITEM_FILES = (*DATASET_CARD_FILES, "config.json", "adapter_config.json")  # most data sets, models and adapters have one
FILE_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".toml", ".py", ".yaml")  # of files, which no hub id is taken for


@dataclass(frozen=True)
class HubItem:
    """A model, adapter or data set on the hub that a run needs. options: of `harness fetch`, to fetch it."""

    kind: Kind
    id: str
    options: tuple[str, ...]
    revision: str | None = None

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'data' else self.kind} {self.id}"

    @property
    def repo_type(self) -> str:
        return "dataset" if self.kind == "data" else "model"

    def advice(self, mirror: Path | str = "OTHER") -> str:
        command = shlex.join(["harness", "fetch", *self.options, "--to", str(mirror)])
        return f"on a machine with the hub: {command}"


class FileRecord(Section):
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Entry(Section):
    """One item that was fetched; `files` by their paths inside its folder."""

    kind: Kind
    id: str
    revision: str | None
    commit: str | None
    files: dict[str, FileRecord]


class MirrorManifest(Section):
    format_version: Annotated[int, Field(ge=FORMAT_VERSION, le=FORMAT_VERSION)] = FORMAT_VERSION
    entries: tuple[Entry, ...] = ()

    def entry(self, kind: Kind, name: str) -> Entry | None:
        return next((e for e in self.entries if (e.kind, e.id) == (kind, name)), None)

    def with_entry(self, entry: Entry) -> MirrorManifest:
        others = [e for e in self.entries if (e.kind, e.id) != (entry.kind, entry.id)]
        return MirrorManifest(entries=tuple(sorted([*others, entry], key=lambda e: (e.kind, e.id))))


def read_manifest(mirror: Path) -> MirrorManifest:
    """The contents of mirror.json; empty where there is none. Raises UserError where it is damaged or names files outside."""
    path = mirror / MANIFEST_FILE
    if not path.exists():
        return MirrorManifest()
    try:
        manifest = MirrorManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "damaged"
        raise UserError(f"{path}: {where}: {first['msg'].lower()}; fetch again into a new folder") from None
    for entry in manifest.entries:
        relative_dir(entry.kind, entry.id)
        for name in entry.files:
            check_file_name(name, str(path))
    return manifest


def write_manifest(mirror: Path, manifest: MirrorManifest) -> None:
    write_json(mirror / MANIFEST_FILE, manifest.model_dump())


def is_hub_id(text: str) -> bool:
    """Whether a setting names something on the hub: not `builtin:`, no path, no file name."""
    return bool(HUB_ID.fullmatch(text)) and ".." not in text and not text.endswith(FILE_SUFFIXES)


def relative_dir(kind: Kind, name: str) -> Path:
    """The folder of an item, relative to the mirror's. Raises UserError for an id that would lie elsewhere."""
    if not HUB_ID.fullmatch(name) or ".." in name:
        raise UserError(f"{kind} {name}: no id of the hub; expected ORG/NAME")
    if kind == "nltk":
        return Path(NLTK_FOLDER, "tokenizers", name)
    if kind != "data":
        return Path(MODELS_FOLDER, name)
    if name.partition("/")[0] in (MODELS_FOLDER, NLTK_FOLDER):
        raise UserError(f"data {name}: a mirror keeps other things under this name; download it and give its folder")
    return Path(name)


def check_file_name(name: str, source: str) -> None:
    """Raises UserError for a file name that is no plain path below the folder it belongs to."""
    parts = name.split("/")
    if "\\" in name or not name.isprintable() or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"{source}: names a file {name!r}, which could leave its folder; nothing of it is used")


def locate_item(mirror: Path, item: HubItem) -> Path:
    """The folder of an item that a run needs, its files compared with mirror.json where they are recorded.

    Raises UserError, with the command that mends it, when the mirror lacks it, has another revision, or a file is damaged; and
    when a link or reference in it leads out of its folder (see `confinement`).
    """
    folder = mirror / relative_dir(item.kind, item.id)
    entry = read_manifest(mirror).entry(item.kind, item.id)
    if entry is not None:
        check_revision(mirror, entry, item)
        for _, damage in find_damage(mirror, entry, check_large_files=False):
            raise UserError(f"{damage}; {item.advice(mirror)}")
    elif folder.is_dir() and item.revision is not None:
        raise UserError(f"{item}: {folder} has no recorded revision, expected {item.revision}; {item.advice()}")
    elif not folder.is_dir():
        if (snapshot := cached_snapshot(mirror, item)) is None:
            raise UserError(f"{item}: not in {mirror}; {item.advice(mirror)}")
        folder = snapshot
    for problem in outside_references(folder, mirror) if item.kind != "nltk" else ():
        raise UserError(f"{item}: {problem}")
    return folder


def check_revision(mirror: Path, entry: Entry, item: HubItem) -> None:
    """Raises UserError when an entry is of another revision than the item."""
    wanted, recorded = item.revision or "main", entry.revision or "main"
    if entry.kind != "nltk" and wanted not in (recorded, entry.commit):
        raise UserError(f"{item}: {mirror} has revision {recorded} (commit {entry.commit}), expected {wanted}; {item.advice()}")


def cached_snapshot(mirror: Path, item: HubItem) -> Path | None:
    """An item's folder in a cache of the hub's libraries, None where there is none of its revision."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    for cache in (mirror / "hub", mirror) if item.kind != "nltk" else ():
        with contextlib.suppress(LocalEntryNotFoundError, HFValidationError):
            options = {"repo_type": item.repo_type, "revision": item.revision, "local_files_only": True}
            return Path(snapshot_download(item.id, cache_dir=cache, **options))
    return None


def find_damage(mirror: Path, entry: Entry, check_large_files: bool) -> Iterator[tuple[str, str]]:
    """(name, what is wrong) of every file of an entry that is not as recorded. check_large_files: these are read too."""
    folder = mirror / relative_dir(entry.kind, entry.id)
    for name, record in entry.files.items():
        path = folder / name
        if not path.is_file():
            yield name, f"{path}: missing"
        elif (size := path.stat().st_size) != record.size:
            yield name, f"{path}: damaged, it has {size:,} bytes and not {record.size:,}"
        elif (check_large_files or record.size < SMALL_FILE_BYTES) and sha256(path) != record.sha256:
            yield name, f"{path}: damaged, its checksum is not the one recorded"


def item_folders(mirror: Path) -> Iterator[Path]:
    """Every folder of a mirror that may be a data set, a model or an adapter, whether mirror.json has it or not."""
    for base in (mirror, mirror / MODELS_FOLDER):
        for folder in sorted(base.iterdir()) if base.is_dir() else ():
            if not folder.is_dir() or folder.name in (MODELS_FOLDER, NLTK_FOLDER) or folder.name.startswith("."):
                continue
            subfolders = [path for path in sorted(folder.iterdir()) if path.is_dir() or path.is_symlink()]
            if subfolders and not any(path.is_file() for path in folder.iterdir()):
                yield from subfolders
            else:  # where files and folders lie side by side, a folder that describes itself is an item of its own too
                yield from (folder, *(path for path in subfolders if any((path / name).is_file() for name in ITEM_FILES)))


def recorded_commit(mirror: Path | None, kind: Kind, name: str) -> str | None:
    """The commit at which an item was fetched, None where the mirror has no record of it."""
    entry = read_manifest(mirror).entry(kind, name) if mirror is not None else None
    return entry.commit if entry is not None else None


def resolve_model(path: str, mirror: Path | None, revision: str | None = None) -> str:
    """What to load for `model.path`: a folder, or without a mirror a hub id. Raises UserError as `locate_item`."""
    if path.startswith(("builtin:", "~")):
        return str(resolve_path(path))
    if mirror is None or resolve_path(path).is_dir() or not is_hub_id(path):
        return path
    return str(locate_item(mirror, model_item(path, revision)))


def model_item(path: str, revision: str | None) -> HubItem:
    revision_options = ("--set", f"model.revision={revision}") if revision else ()
    return HubItem("model", path, ("--model", path, *revision_options), revision)


def adapter_item(name: str) -> HubItem:
    return HubItem("adapter", name, ("--set", f"model.adapter={name}"))


def data_item(name: str, heldout: bool) -> HubItem:
    return HubItem("data", name, ("--set", f"data.heldout={name}") if heldout else ("--data", name))


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
