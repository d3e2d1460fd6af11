"""Files of phases: JSON written atomically, JSON lines, plain or packed, digests of contents. Independent of run folders.

A packed file is `NAME.jsonl.gz` beside no `NAME.jsonl`. Everything that names a file says `NAME.jsonl` and means its content: a
digest is of the lines, not of gzip's bytes, which depend on the version of zlib. So a phase is the same phase either way.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import io
import itertools
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, TypeVar

from harness.errors import DamagedError, UserError
from harness.records import digest

R = TypeVar("R")
MANIFEST = "manifest.json"
JSONL_SUFFIX, GZIP_SUFFIX = ".jsonl", ".gz"
GZIP_LEVEL = 6  # 9 takes nearly twice as long for 3 % less
# A packed file may unpack to so many bytes, or to so many times its own: deflate's most is 1,032 times, samples' 3 to 30.
MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO = 1 << 30, 500
RECOMPUTE_ADVICE = "repeat the run's command with --recompute to set aside what is damaged and make it again"


def write_json(path: Path, value: Any) -> None:
    """Write plain JSON, and dataclasses as their fields, atomically. NaN is an error: a missing number is missing."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, default=asdict) + "\n")


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    with write_atomic(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def write_atomic(path: Path) -> Iterator[Path]:
    """Yields a path beside `path`; what is written there is flushed to the disk, then renamed to `path`."""
    temporary = path.with_name(path.name + ".tmp")
    yield temporary
    commit_file(temporary, path)


def commit_file(temporary: Path, path: Path) -> None:
    """Flush a file to the disk, then rename it to `path`, which it replaces."""
    _share([temporary])
    _fsync(temporary)
    temporary.replace(path)


def commit_folder(partial: Path, folder: Path) -> None:
    """Flush a folder and everything below it to the disk, then rename it. Raises OSError where `folder` is not empty."""
    contents = list(walk(partial))
    _share([path for path in contents if path.is_file() and not path.is_symlink()])
    for path in (*contents, partial):
        _fsync(path)
    partial.rename(folder)
    _fsync(folder.parent)


def _share(files: list[Path]) -> None:
    """Give files the permissions that a new file has by the umask: libraries that write through a temporary file of their own
    (safetensors does) leave it to its owner alone. A file of somebody else's, linked from a run of theirs, stays as it is.
    """
    private = [path for path in files if not path.stat().st_mode & 0o077]
    if not private:
        return
    probe = private[0].with_name(private[0].name + ".mode")  # the umask cannot be read without being changed for all threads
    os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    for path in private:
        with contextlib.suppress(PermissionError):
            path.chmod(stat.S_IMODE(path.stat().st_mode) | mode)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_checked(path: Path, value: Any) -> None:
    """Write a plain JSON value atomically, with a digest of it."""
    write_json(path, {"digest": _value_digest(value), "kept": value})


def read_checked(path: Path) -> Any:
    """The value of `write_checked`; None when there is none. Raises DamagedError when the file is not what was written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["digest"] == _value_digest(stored["kept"]):
            return stored["kept"]
    except FileNotFoundError:
        return None
    except (ValueError, LookupError, TypeError, RecursionError, IsADirectoryError, NotADirectoryError):
        pass
    raise DamagedError(f"{path}: damaged")


def _value_digest(value: Any) -> str:
    return digest(json.dumps(value, sort_keys=True))


def read_json(path: Path) -> Any:
    """The content of a JSON file of a run folder. Raises UserError when it is missing or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; is this a run folder?") from error
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise DamagedError(f"{path}: damaged ({str(error)[:100]}); {RECOMPUTE_ADVICE}") from error


def json_round_trip(value: Any) -> Any:
    """The value as read back from a JSON file: tuples become lists, keys texts."""
    return json.loads(json.dumps(value))


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """One JSON object per line, as in `write_json` but not atomically; returns how many."""
    with path.open("wb") as handle:
        return _write_lines(handle, rows)


def write_packed_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """As `write_jsonl`, packed into `path`.gz; its bytes depend on the rows and the version of zlib alone."""
    with (
        _packed_path(path).open("wb") as handle,
        gzip.GzipFile("", "wb", GZIP_LEVEL, handle, mtime=0) as packed,
        io.BufferedWriter(packed, 1 << 16) as buffer,  # type: ignore[arg-type]  # a raw stream but for its annotations
    ):
        return _write_lines(buffer, rows)


def packed_size(rows: Iterable[Any]) -> int:
    """Bytes of these rows in a packed file."""
    raw = io.BytesIO()
    _write_lines(raw, rows)
    return len(gzip.compress(raw.getvalue(), GZIP_LEVEL, mtime=0))


def _write_lines(handle: IO[bytes] | io.BufferedWriter, rows: Iterable[Any]) -> int:
    count = 0
    for row in rows:
        handle.write((json.dumps(row, allow_nan=False, default=asdict) + "\n").encode("ascii"))
        count += 1
    return count


def read_jsonl(path: Path, row_type: type[R] | None = None) -> list[R]:
    """Rows of a JSON-lines file, plain or packed, as `row_type` dataclasses where one is given."""
    stored = stored_path(path)
    with _open_content(stored) as handle:
        rows = [json.loads(line) for line in _bounded_lines(stored, handle)]
    return [row_type(**row) for row in rows] if row_type is not None else rows


def stored_path(path: Path) -> Path:
    """Where the content of `path` is: in itself, or packed beside it. `path` where it is in neither."""
    packed = _packed_path(path)
    return packed if path.suffix == JSONL_SUFFIX and not path.exists() and packed.exists() else path


def _packed_path(path: Path) -> Path:
    return path.with_name(path.name + GZIP_SUFFIX)


def read_content(stored: Path) -> bytes:
    """The content of a stored file, unpacked. Raises FileNotFoundError, DamagedError where it cannot be unpacked."""
    with _open_content(stored) as handle:
        return b"".join(_bounded_lines(stored, handle))


@contextlib.contextmanager
def _open_content(stored: Path) -> Iterator[IO[bytes]]:
    """A stored file, unpacked, for reading. Raises DamagedError where it cannot be unpacked."""
    if not stored.name.endswith(JSONL_SUFFIX + GZIP_SUFFIX):
        with stored.open("rb") as handle:
            yield handle
        return
    try:
        with gzip.open(stored) as packed:
            yield packed  # type: ignore[misc]  # as a file of bytes
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DamagedError(f"{stored}: damaged ({error}); {RECOMPUTE_ADVICE}") from error


def _bounded_lines(stored: Path, handle: IO[bytes]) -> Iterator[bytes]:
    """Lines with their ends. Raises DamagedError for a packed file that unpacks to more than any file of this program would."""
    remaining = max(MAX_UNPACKED_BYTES, MAX_UNPACKED_RATIO * stored.stat().st_size)
    while line := handle.readline(remaining + 1):
        remaining -= len(line)
        if remaining < 0:
            raise DamagedError(f"{stored}: damaged (unpacks to over {MAX_UNPACKED_RATIO} times its size); {RECOMPUTE_ADVICE}")
        yield line


def file_digest(path: Path) -> str:
    """16 hexadecimal digits of blake2b over the file's bytes."""
    with path.open("rb") as handle:
        return _handle_digest(handle)


def content_digest(stored: Path) -> str:
    """The same over the file's content: of a packed one unpacked. Raises DamagedError where it cannot be."""
    with _open_content(stored) as handle:
        return _handle_digest(handle)


def _handle_digest(handle: Any) -> str:
    return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=8)).hexdigest()


def bytes_digest(raw: bytes) -> str:
    """The same for bytes already read from a file."""
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def walk(folder: Path) -> Iterator[Path]:
    """Everything below `folder`, folders too, at any depth, in no order; links are yielded, not followed.

    Raises OSError for a folder that cannot be listed; one that is removed meanwhile is skipped.
    """
    pending = [folder]
    while pending:
        with contextlib.suppress(FileNotFoundError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                yield Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry.path))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in walk(folder) if path.is_file())


def make_folder(folder: Path) -> None:
    """Create the folder and its missing parents. `Path.mkdir(parents=True)` recurses, and fails in deep paths."""
    missing = list(itertools.takewhile(lambda parent: not parent.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def folder_digests(folder: Path) -> dict[str, str]:
    """Relative path -> digest of the content of every file below `folder` but its manifest; of a packed file without its .gz."""
    files = (p for p in walk(folder) if p.is_file() and p.name != MANIFEST)
    names = sorted({content_name(p.relative_to(folder).as_posix()) for p in files})
    return {name: content_digest(stored_path(folder / name)) for name in names}


def content_name(name: str) -> str:
    """The name that manifests know a stored file by."""
    return name.removesuffix(GZIP_SUFFIX) if name.endswith(JSONL_SUFFIX + GZIP_SUFFIX) else name
