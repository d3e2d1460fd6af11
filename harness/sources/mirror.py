"""A folder that stands for the hub: where things lie in it, what its mirror.json says of them, whether they are intact.

    DIR/ORG/NAME/...          data sets, under their hub id
    DIR/models/ORG/NAME/...   models and adapters
    DIR/nltk_data/...         NLTK's resources
    DIR/mirror.json           per entry: kind, id, revision asked for, commit, and size and SHA-256 of every file

`harness fetch` writes it. What lies there without an entry was put there by hand and is taken as it is. Nothing here uses a
network.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from harness.config import Part
from harness.errors import UserError
from harness.files import write_json
from harness.settings.paths import resolve_path
from harness.sources.confinement import DESCRIPTIONS, leading_out

Kind = Literal["model", "adapter", "data", "nltk"]
FILE = "mirror.json"
FORMAT = 1
MODELS, NLTK = "models", "nltk_data"
SMALL = 64 << 20  # bytes; at the start of a run smaller files are read and compared, larger ones by their size alone
HUB_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)?")
OWN = (*DESCRIPTIONS, "config.json", "adapter_config.json")  # one of them is in most data sets, models and adapters
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".toml", ".py", ".yaml")  # of files, which no hub id is taken for


@dataclass(frozen=True)
class Wanted:
    """Something of the hub's that a run needs. options: what to type after `harness fetch` to have it."""

    kind: Kind
    id: str
    options: tuple[str, ...]
    revision: str | None = None

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'data' else self.kind} {self.id}"

    def command(self, mirror: Path) -> str:
        return shlex.join(["harness", "fetch", *self.options, "--to", str(mirror)])


class Held(Part):
    """One file of an entry."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Entry(Part):
    """One thing that was fetched; `files` by their paths inside its folder."""

    kind: Kind
    id: str
    revision: str | None
    commit: str | None
    files: dict[str, Held]


class Manifest(Part):
    """mirror.json."""

    format_version: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    entries: tuple[Entry, ...] = ()

    def entry(self, kind: Kind, name: str) -> Entry | None:
        return next((e for e in self.entries if (e.kind, e.id) == (kind, name)), None)

    def with_entry(self, entry: Entry) -> Manifest:
        others = [e for e in self.entries if (e.kind, e.id) != (entry.kind, entry.id)]
        return Manifest(entries=tuple(sorted([*others, entry], key=lambda e: (e.kind, e.id))))


def read_manifest(mirror: Path) -> Manifest:
    """What mirror.json says; empty where there is none. Raises UserError when it is damaged or names files outside the folder."""
    path = mirror / FILE
    if not path.exists():
        return Manifest()
    try:
        manifest = Manifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {where}: {first['msg'].lower()}; fetch again into a new folder") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); fetch again into a new folder") from error
    for entry in manifest.entries:
        place(entry.kind, entry.id)
        for name in entry.files:
            check_name(name, str(path))
    return manifest


def write_manifest(mirror: Path, manifest: Manifest) -> None:
    write_json(mirror / FILE, manifest.model_dump())


# ---------------------------------------------------------------- where things lie


def is_hub_id(text: str) -> bool:
    """Whether a setting names something on the hub: not `builtin:`, no path, no file name."""
    return bool(HUB_ID.fullmatch(text)) and ".." not in text and not text.endswith(SUFFIXES)


def place(kind: Kind, name: str) -> Path:
    """The folder of a thing, from the mirror's own. Raises UserError for an id that would lie elsewhere."""
    if not HUB_ID.fullmatch(name) or ".." in name:
        raise UserError(f"{kind} {name}: no id of the hub; expected ORG/NAME")
    if kind == "nltk":
        return Path(NLTK, "tokenizers", name)
    if kind != "data":
        return Path(MODELS, name)
    if name.partition("/")[0] in (MODELS, NLTK):
        raise UserError(f"data {name}: a mirror keeps other things under this name; download it and give its folder")
    return Path(name)


def check_name(name: str, whose: str) -> None:
    """Raises UserError for a file name that is no plain path below the folder it belongs to."""
    parts = name.split("/")
    if "\\" in name or not name.isprintable() or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"{whose}: names a file {name!r}, which could leave its folder; nothing of it is used")


# ---------------------------------------------------------------- what is in it


def found_in(mirror: Path, wanted: Wanted) -> Path:
    """The folder of something that a run needs, its files compared with mirror.json where that knows them.

    Raises UserError, naming the command that mends it, when the mirror lacks it, has another revision, or a file is damaged; and
    when something of it leads out of its folder (see `inside`).
    """
    folder = mirror / place(wanted.kind, wanted.id)
    entry = read_manifest(mirror).entry(wanted.kind, wanted.id)
    if entry is None:
        if not folder.is_dir():
            raise UserError(f"{wanted}: {mirror} lacks it; where there is a hub: {wanted.command(mirror)}")
        if wanted.revision is not None:
            raise UserError(
                f"{wanted}: {folder} does not say its revision, asked for {wanted.revision}; "
                f"where there is a hub: {wanted.command(Path('OTHER'))}"
            )
    else:
        check_revision(mirror, entry, wanted)
        for fault in faults(mirror, entry, thorough=False):
            raise UserError(f"{fault}; where there is a hub: {wanted.command(mirror)}")
    for said in leading_out(folder, mirror) if wanted.kind != "nltk" else ():
        raise UserError(f"{wanted}: {said}")
    return folder


def check_revision(mirror: Path, entry: Entry, wanted: Wanted) -> None:
    """Raises UserError when an entry is not of the revision asked for."""
    asked, has = wanted.revision or "main", entry.revision or "main"
    if entry.kind != "nltk" and asked not in (has, entry.commit):
        raise UserError(
            f"{wanted}: {mirror} has revision {has} (commit {entry.commit}), asked for {asked}; "
            f"where there is a hub: {wanted.command(Path('OTHER'))}"
        )


def faults(mirror: Path, entry: Entry, thorough: bool) -> Iterator[str]:
    """One line for every file of an entry that is missing or is not the one recorded. thorough: large files are read too."""
    folder = mirror / place(entry.kind, entry.id)
    for name, held in entry.files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: missing"
        elif (size := path.stat().st_size) != held.size:
            yield f"{path}: damaged, it has {size:,} bytes and not {held.size:,}"
        elif (thorough or held.size < SMALL) and sha256(path) != held.sha256:
            yield f"{path}: damaged, its checksum is not the one recorded"


def folders_in(mirror: Path) -> Iterator[Path]:
    """Every folder of a mirror that may be a data set, a model or an adapter, whether mirror.json knows it or not."""
    for base in (mirror, mirror / MODELS):
        for folder in sorted(base.iterdir()) if base.is_dir() else ():
            if folder.is_dir() and folder.name not in (MODELS, NLTK) and not folder.name.startswith("."):
                below = [one for one in sorted(folder.iterdir()) if one.is_dir() or one.is_symlink()]
                single = any(one.is_file() for one in folder.iterdir()) or not below
                # a file that lies beside several makes them no parts of one: what describes itself is looked at by itself
                yield from [folder, *(one for one in below if any((one / own).is_file() for own in OWN))] if single else below


def commit_of(mirror: Path | None, kind: Kind, name: str) -> str | None:
    """The commit at which something was fetched, None where the mirror does not say."""
    entry = read_manifest(mirror).entry(kind, name) if mirror is not None else None
    return entry.commit if entry is not None else None


def resolved_model(path: str, mirror: Path | None, revision: str | None = None) -> str:
    """What to load for `model.path`: a folder, or a hub id where no mirror stands for the hub. Raises UserError as `found_in`."""
    if path.startswith(("builtin:", "~")):
        return str(resolve_path(path))
    if mirror is None or resolve_path(path).is_dir() or not is_hub_id(path):
        return path
    return str(found_in(mirror, wanted_model(path, revision)))


def wanted_model(path: str, revision: str | None) -> Wanted:
    at = ("--set", f"model.revision={revision}") if revision else ()
    return Wanted("model", path, ("--model", path, *at), revision)


def wanted_adapter(name: str) -> Wanted:
    return Wanted("adapter", name, ("--set", f"model.adapter={name}"))


def wanted_data(name: str, heldout: bool) -> Wanted:
    return Wanted("data", name, ("--set", f"data.heldout={name}") if heldout else ("--data", name))


def sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
