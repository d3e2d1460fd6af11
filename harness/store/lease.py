"""A lease: one process at a time works on something, as one file says that names its owner and is kept fresh while it lives.

Made without the operating system's locks, which some network file systems lack, and without comparing the clocks of two machines.

    {"token", "host", "boot", "namespace", "pid", "started", "since", "beats"}    one JSON object, padded with spaces

The file appears under its name with all of this in it (a hard link to a file that is complete; where there are no links, a file
that must not exist yet). Its owner overwrites it in place every BEAT seconds with a higher `beats`. A dead owner on this host is
known by its process id and start time. Of an owner that cannot be seen from here (another host, another container, another boot)
the file is watched: one whose contents do not change for STALE seconds of this machine's own clock has no owner any more.

A dead owner's file is renamed to a name of one's own before it is removed, and looked at again there: of several contenders one
has it, and one that took a fresh file instead puts it back. An owner looks before what it commits whether the lease is still its
own (`check`), so that one that was asleep for longer than STALE stops rather than writing on.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from harness.errors import UserError
from harness.files import make_folder
from harness.store.process_identity import ProcessIdentity, current_process, parse_identity

LEASE = ".lease"
HEARTBEAT_SECONDS = 5.0  # seconds between two heartbeats: a contender elsewhere knows after so long that the owner lives
# Seconds without one after which an owner elsewhere is taken for dead: twelve heartbeats, and the minute for which an NFS client
# may keep what it knows of a file.
STALE_SECONDS = 60.0
SETTLE_SECONDS = 0.05  # seconds after which one that took a dead owner's place looks whether another contender has it
FILE_BYTES = 1024  # bytes of the file: a heartbeat never changes its length
NO_LINK_ERRNOS = {
    errno.EPERM,
    errno.EACCES,
    errno.ENOSYS,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.EINVAL,
    errno.EMLINK,
    errno.EXDEV,
}
Notify = Callable[[str], None]


class LeaseTaken(Exception):
    """Another process has the lease; its text says which."""


class LeaseLost(UserError):
    """The lease is not this process's any more."""


class Lease:
    """The lease in the file `path`. beat, stale: seconds."""

    def __init__(self, path: Path, heartbeat_seconds: float = HEARTBEAT_SECONDS, stale_seconds: float = STALE_SECONDS) -> None:
        self.path, self.heartbeat_seconds, self.stale_seconds = path, heartbeat_seconds, stale_seconds
        self.owner: ProcessIdentity | None = None
        self._handle = -1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, notify: Notify | None = None) -> None:
        """Take the lease, a dead owner's too. say: is told where it takes a while to know whether the owner is dead.

        Raises LeaseTaken when another process has it, OSError when no file can be made there.
        """
        self.owner = current_process()
        candidate = self._sibling(self.owner.token)
        self._handle = _create(candidate)
        try:
            _write(self._handle, self.owner, 0)
            while not self._create_file(candidate):
                if self._remove_dead(notify) and self._create_file(candidate):
                    self._wait_for_contenders()
                    break
            self._remove_leftovers()
        except BaseException:
            self.release()
            raise
        finally:
            with contextlib.suppress(OSError):
                candidate.unlink()
        self._stop.clear()
        self._thread = threading.Thread(target=self._heartbeat, args=(self._handle, self.owner), name="lease", daemon=True)
        self._thread.start()

    def adopt(self) -> None:
        """Let `check` compare with whoever has the lease now: for the processes that a holder starts. Raises LeaseLost."""
        with contextlib.suppress(OSError):
            self.owner = parse_identity(self._read())
        if self.owner is None:
            raise LeaseLost(f"{self.path.parent}: nobody holds it any more; repeat the same command to go on")

    def check(self) -> None:
        """Raises LeaseLost when the file is gone or another's. Does nothing before the lease is taken."""
        if self.owner is None:
            return
        holder = None
        for pause in (0.0, 0.05, 0.1, 0.3):  # for an instant a contender may have it by mistake
            time.sleep(pause)
            try:
                holder = parse_identity(self._read())
            except OSError as error:
                if pause == 0.3 and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
                    raise
                holder = None
            if holder is not None and holder.token == self.owner.token:
                return
        reason = f"{holder} has taken it" if holder is not None else "it was renamed, removed or replaced"
        raise LeaseLost(
            f"{self.path.parent}: {reason} while this command worked in it, which stops here; what is "
            "finished is kept: put it back, "
            "or wait for the other, then repeat the same command to go on"
        )

    def release(self) -> None:
        """Give the lease back. Does nothing when it is not this process's any more."""
        owner, self.owner = self.owner, None
        if owner is None or owner.pid != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._remove_if_same(owner.token)
        self._close()

    # ------------------------------------------------------------ the file

    def _sibling(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}")

    def _create_file(self, candidate: Path) -> bool:
        """Make the file, whole; False when there is one."""
        try:
            os.link(candidate, self.path)
            return True
        except FileExistsError:
            # Over NFS an answer may be lost and the question repeated: the number of links tells whether it was done.
            return os.fstat(self._handle).st_nlink == 2
        except OSError as error:
            if error.errno not in NO_LINK_ERRNOS:
                raise
        try:
            handle = _create(self.path)
        except FileExistsError:
            return False
        os.close(self._handle)
        self._handle = handle
        assert self.owner is not None
        _write(handle, self.owner, 0)
        return True

    def _read(self) -> bytes | None:
        return _read(self.path)

    def _wait_for_contenders(self) -> None:
        """Having taken a dead owner's place: raises LeaseTaken where another contender did so at the same time, and has it."""
        time.sleep(SETTLE_SECONDS)
        try:
            self.check()
        except LeaseLost:
            with contextlib.suppress(OSError):
                raise LeaseTaken(str(parse_identity(self._read()) or "another process")) from None
            raise LeaseTaken("another process") from None

    def _remove_dead(self, notify: Notify | None) -> bool:
        """Remove the file of an owner that is dead; False when it went away by itself. Raises LeaseTaken for one that lives."""
        try:
            content = self._read()
        except FileNotFoundError:
            return False
        owner = parse_identity(content)
        alive = owner.is_alive() if owner is not None else None
        if alive:
            raise LeaseTaken(str(owner))
        if alive is None:
            if notify is not None:
                notify(
                    f"{self.path}: of {owner or 'a process that it does not name'}, which cannot be seen from here; "
                    f"waiting up to {self.stale_seconds:g} s for a sign of it"
                )
            if not self._is_unchanged(content):
                return False
        return self._remove_if_same(owner.token if owner is not None else content)

    def _is_unchanged(self, content: bytes | None) -> bool:
        """Watch the file: True when it stays as it is, False when it is another's or gone. Raises LeaseTaken at a heartbeat."""
        until = time.monotonic() + self.stale_seconds
        while time.monotonic() < until:
            time.sleep(self.heartbeat_seconds / 5)
            try:
                new_content = self._read()
            except FileNotFoundError:
                return False
            except OSError:  # a file system that cannot answer now: no sign of anything
                continue
            if new_content == content:
                continue
            old_owner, owner = parse_identity(content), parse_identity(new_content)
            if owner is not None and old_owner is not None and owner.token == old_owner.token:
                raise LeaseTaken(str(owner))
            if owner is not None:
                return False
        return True

    def _remove_if_same(self, expected: str | bytes | None) -> bool:
        """Remove the file if it is the one meant, by its token or its contents; True when that was done, by this process."""

        def is_meant(raw: bytes | None) -> bool:
            owner = parse_identity(raw)
            return (owner.token if owner is not None else raw) == expected

        aside = self._sibling(f"{uuid.uuid4().hex}.gone")
        try:
            if not is_meant(self._read()):
                return False
            self.path.rename(aside)
        except FileNotFoundError:
            return False
        try:
            content = _read(aside)
        except FileNotFoundError:  # a dead owner's, tidied up by whoever has the lease by now
            return True
        if is_meant(content):
            aside.unlink(missing_ok=True)
            return True
        try:  # another contender was quicker, and this is its own
            os.link(aside, self.path)
        except FileExistsError:
            pass  # a third one's already: whose this was will notice
        except OSError:
            if not self.path.exists():
                aside.rename(self.path)
                return False
        aside.unlink(missing_ok=True)
        return False

    def _remove_leftovers(self) -> None:
        """Remove what killed contenders on this host left beside the file."""
        for path in self.path.parent.glob(f"{self.path.name}.*"):
            with contextlib.suppress(OSError):
                owner = parse_identity(_read(path))
                if owner is not None and owner.is_alive() is False:
                    path.unlink()

    def _heartbeat(self, handle: int, owner: ProcessIdentity) -> None:
        """Write heartbeats until the lease is given back: into the file that was made, whatever its name is by now."""
        beats = 0
        while not self._stop.wait(self.heartbeat_seconds):
            beats += 1
            with contextlib.suppress(OSError):
                _write(handle, owner, beats)

    def _close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self.heartbeat_seconds)
            if self._thread.is_alive():
                return  # it waits for a file system that does not answer; its file stays open until it does
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _read(path: Path) -> bytes:
    """Contents as they are now: opened anew each time, which is when a network file system asks its server."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(handle, 2 * FILE_BYTES)
    finally:
        os.close(handle)


def _write(handle: int, owner: ProcessIdentity, beats: int) -> None:
    text = json.dumps({**asdict(owner), "beats": beats})
    os.pwrite(handle, text.encode("ascii").ljust(FILE_BYTES - 1) + b"\n", 0)
    os.fsync(handle)


@contextlib.contextmanager
def folder_lock(
    folder: Path,
    notify: Notify | None = None,
    label: str = "",
    busy_advice: str = "is working on this run; wait for it, or use --name OTHER",
    unwritable_advice: str = "use --results DIR",
) -> Iterator[Lease]:
    """Hold `folder` for writing. Raises UserError when another process holds it, or nothing can be written there.

    place: what the folder is called in such a line; busy: what the other process does, and what to do then; elsewhere: what to
    do where nothing can be written.
    """
    lease = Lease(folder / LEASE)
    try:
        make_folder(folder)
        lease.acquire(notify)
    except LeaseTaken as error:
        raise UserError(f"{label or folder}: {error} {busy_advice}") from None
    except OSError as error:
        if lease.path.is_dir():
            raise UserError(f"{lease.path}: a folder, not the file that says who works here; remove it, then repeat") from error
        raise UserError(
            f"{label or error.filename or folder}: cannot write here ({error.strerror}); {unwritable_advice}"
        ) from error
    try:
        yield lease
    finally:
        lease.release()
