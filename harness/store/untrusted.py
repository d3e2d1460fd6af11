"""Untrusted run folders: validated before anything in them is read, shown or written.

A run folder is data. Nothing in it is ever imported, and the files that its run.json names are inside it: names are plain names,
there are no links and no special files, sizes are bounded. Every folder that this program writes is valid.
"""

from __future__ import annotations

import contextlib
import stat
import traceback
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import DamagedError, OtherFormatError, UserError
from harness.files import RECOMPUTE_ADVICE, read_json, walk
from harness.progress.log_file import LOG_NAME
from harness.settings.safe_paths import RESERVED_FOLDERS, RESERVED_SUFFIXES, FileName, Label
from harness.store.run_folder import FORMAT_VERSION, RunFolder

MAX_JSON_BYTES = 512 << 20  # of one .json file, which is read into memory
MAX_CHECKPOINTS = 1_000_000  # variants x seeds x iterations
Count = Annotated[int, Field(ge=1, le=MAX_CHECKPOINTS)]
ShortText = Annotated[str, Field(max_length=10_000)]  # is printed and drawn in figures
Seeds = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]


class _RecordModel(BaseModel):
    """What tables and reports read from a record; other fields are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Citation(_RecordModel):
    label: ShortText
    title: ShortText
    url: ShortText
    where: ShortText


class _Variant(_RecordModel):
    name: FileName
    title: ShortText
    citation: _Citation
    source_digest: str
    training: dict[str, Any]
    resolved: list[dict[str, Any]] = Field(min_length=1)
    needs: list[dict[str, Any]] = Field(min_length=1)
    shown_as: Annotated[Label, Field(min_length=1, max_length=100)] | None = None


class _Task(_RecordModel):
    name: FileName
    label: ShortText


class _Suite(_RecordModel):
    name: FileName
    title: ShortText
    version: ShortText
    published: list[FileName] = []
    task: list[_Task] = Field(min_length=1)


class _Panel(_RecordModel):
    title: ShortText
    labels: list[str] = Field(min_length=1)


class _Study(_RecordModel):
    title: ShortText
    question: ShortText
    published: FileName | None = None
    figure: ShortText | None = None
    tuned_by: FileName | None = None
    panels: list[_Panel] = []
    shown: list[str] | None = None


class _Record(_RecordModel):
    name: FileName
    format_version: int
    command: list[str]
    iterations: Count
    seeds: Seeds
    identity: dict[str, dict[str, Any]]
    variants: dict[FileName, _Variant] = Field(min_length=1)
    suites: dict[FileName, _Suite]
    suite: FileName
    study: _Study | None = None
    hardware: dict[str, Any]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _check_consistent(self) -> _Record:
        if reserved := sorted(RESERVED_FOLDERS & self.variants.keys()):
            raise ValueError(f"a variant has the name {reserved[0]!r}, which is reserved")
        names = Counter(variant.shown_as or folder for folder, variant in self.variants.items())
        if repeated := sorted(name for name, count in names.items() if count > 1 or name in RESERVED_FOLDERS):
            raise ValueError(f"a variant is shown as {repeated[0]!r}, as something else is")
        if self.suite not in self.suites:
            raise ValueError(f"suite {self.suite!r} is not among its suites")
        if len(self.variants) * len(self.seeds) * self.iterations > MAX_CHECKPOINTS:
            raise ValueError(f"names more than {MAX_CHECKPOINTS:,} checkpoints")
        if self.study is not None:
            named_labels = {label for panel in self.study.panels for label in panel.labels} | set(self.study.shown or ())
            if missing := sorted(named_labels - self.variants.keys()):
                raise ValueError(f"its study names {missing[0]!r}, which is not among its variants")
        return self


def validate_run_folder(root: Path) -> None:
    check_files(root)
    check_record(root)


def check_files(root: Path, mending: bool = False) -> None:
    """Raises UserError when something in the run folder could lead out of it. mending: special files are about to be removed."""
    for path in walk(root):
        try:
            status = path.lstat()
        except FileNotFoundError:  # removed by a process that works here now
            continue
        if stat.S_ISLNK(status.st_mode):
            raise UserError(f"{path}: a link; a run folder has none, and following it could leave the folder; remove it")
        if not mending and _is_special(status.st_mode):
            raise UserError(f"{path}: neither a file nor a folder; remove it")
        if path.name.endswith(".json") and status.st_size > MAX_JSON_BYTES:
            raise UserError(f"{path}: {status.st_size:,} bytes, more than the {MAX_JSON_BYTES:,} that are read; remove it")


def _is_special(mode: int) -> bool:
    return not stat.S_ISDIR(mode) and not stat.S_ISREG(mode) and not stat.S_ISLNK(mode)


def remove_special_files(run: RunFolder) -> None:
    """Remove FIFOs, sockets and devices, which hold no data; set aside they would be refused again."""
    for path in list(walk(run.root)):
        with contextlib.suppress(FileNotFoundError):
            if _is_special(path.lstat().st_mode):
                path.unlink()
                run.notify(f"{path}: neither a file nor a folder; removed")


def check_record(root: Path) -> None:
    """Raises OtherFormatError or DamagedError when run.json exists and this program cannot read it."""
    path = root / "run.json"
    if not path.exists():
        return
    record = read_json(path)
    version = record.get("format_version") if isinstance(record, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise OtherFormatError(
            f"{root}: format version {version}, this program writes {FORMAT_VERSION}; use --name OTHER for a run of its own, or "
            f"{RECOMPUTE_ADVICE}"
        )
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part)[:60] for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        raise DamagedError(
            f"{path}: {key + ': ' if key else ''}{problem}; no record of this program, nothing of it is used; {RECOMPUTE_ADVICE}"
        ) from None


def set_record_aside(run: RunFolder) -> None:
    """Move a run.json that is damaged or of another format out of the way; the run's next command writes it anew."""
    try:
        check_record(run.root)
    except (DamagedError, OtherFormatError) as error:
        run.set_aside("run.json", str(error))


FOLDERS = ("*/seed-*", "*/seed-*/iteration-*", "*/seed-*/iteration-*/evaluate", "*/seed-*/generate", "initial/*", "facts/*")


def make_way(run: RunFolder, labels: Collection[str] = (), recompute: bool = False) -> None:
    """Set aside folders with the name of a file that this program writes beside the phases, and files with that of a folder.

    labels: variants, whose folders count too. A file with the name of a phase is set aside by `RunFolder.write_phase`.
    recompute: set aside too what is damaged beside the phases: special files, small files, the record.
    """
    files = [
        "journal.jsonl",
        LOG_NAME,
        "failed.json",
        "scores.csv",
        "training.csv",
        "dynamics.csv",
    ]  # the journal first, it is written to
    files += [path.relative_to(run.root).as_posix() for name in ("tables", "plots") for path in (run.root / name).glob("*")]
    for name in files:
        if (run.root / name).is_dir() and not name.endswith(RESERVED_SUFFIXES):
            run.set_aside(name, f"{run.root / name}: a folder, not a file of this program")
    if recompute:
        remove_special_files(run)
        run.set_small_files_aside()  # before `set_aside` removes phases from them
        set_record_aside(run)
    folders = [path.relative_to(run.root) for pattern in FOLDERS for path in sorted(run.root.glob(pattern))]
    inner = [path.as_posix() for path in folders if path.parts[0] not in RESERVED_FOLDERS - {"initial", "facts"}]
    for name in (*sorted(RESERVED_FOLDERS | set(labels)), *inner):
        if (run.root / name).is_file() and not name.endswith((*RESERVED_SUFFIXES, ".json", ".xz", ".gz")):
            run.set_aside(name, f"{run.root / name}: a file, not a folder of this program")


@contextlib.contextmanager
def explain_malformed(root: Path) -> Iterator[None]:
    """Report an error caused by a malformed file of a run folder as one line with its place in the code."""
    try:
        yield
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        innermost = ([frame for frame in frames if "harness" in Path(frame.filename).parts] or frames)[-1]
        raise UserError(
            f"{root}: a file of it is not as this program writes it, or this program is at fault ({type(error).__name__}: "
            f"{str(error)[:160]}, at {Path(innermost.filename).name}:{innermost.lineno}); repeat the run's own command, which "
            "names what is damaged"
        ) from error
