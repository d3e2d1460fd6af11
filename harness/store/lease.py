"""A lease: a lock file that names its owner, which renews it with heartbeats while it lives.

It needs no locks of the operating system, which some network file systems lack, and compares no clocks of two machines.

    {"token", "host", "boot", "namespace", "pid", "started", "since", "beats"}    one JSON object, padded with spaces

The owner creates the file, which must not exist yet, and overwrites it in place every HEARTBEAT_SECONDS with a higher `beats`. A
dead owner on this host is known by its process id and start time. For an owner that cannot be seen from here (another host,
container or boot; a file that is still empty) the file is watched: where its contents do not change for STALE_SECONDS of this
machine's own clock, the owner is dead.

A contender renames a dead owner's file to a unique name before removing it, and reads it again there: of several contenders
one gets it, and one that renamed a new owner's file puts it back. Before every commit an owner checks that the lease is still its
own (`check`), so that one that was suspended for longer than STALE_SECONDS stops instead of writing on.
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
HEARTBEAT_SECONDS = 5.0  # between two heartbeats: a contender on another host waits so long to see that the owner lives
# Without a heartbeat for so long, an owner on another host counts as dead: twelve heartbeats, and the minute for which an NFS
# client may cache a file's attributes.
STALE_SECONDS = 60.0
SETTLE_SECONDS = 0.05  # a contender that replaced a dead owner waits so long before it checks that no other one did
FILE_BYTES = 1024  # a heartbeat never changes the file's length
Notify = Callable[[str], None]


class LeaseTaken(Exception):
    """Another process has the lease; the message says which."""


class LeaseLost(UserError):
    """This process has lost the lease."""


class Lease:
    def __init__(self, path: Path, heartbeat_seconds: float = HEARTBEAT_SECONDS, stale_seconds: float = STALE_SECONDS) -> None:
        self.path, self.heartbeat_seconds, self.stale_seconds = path, heartbeat_seconds, stale_seconds
        self.owner: ProcessIdentity | None = None
        self._handle = -1
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, notify: Notify | None = None) -> None:
        """Take the lease, a dead owner's too. notify: called with a line where that has to wait for a heartbeat.

        Raises LeaseTaken when another process has it, OSError when no file can be made there.
        """
        self.owner = current_process()
        try:
            while not self._create(self.owner):
                if self._remove_dead(notify) and self._create(self.owner):
                    time.sleep(SETTLE_SECONDS)
                    self.check()
                    break
            self._remove_leftovers()
        except BaseException as error:
            self.release()
            if isinstance(error, LeaseLost):
                raise LeaseTaken("another process, which came first,") from None
            raise
        self._stop.clear()
        self._thread = threading.Thread(target=self._heartbeat, args=(self._handle, self.owner), name="lease", daemon=True)
        self._thread.start()

    def adopt(self) -> None:
        """Let `check` compare with the current owner: for worker processes that the owner starts. Raises LeaseLost."""
        with contextlib.suppress(OSError):
            self.owner = parse_identity(_read(self.path))
        if self.owner is None:
            raise LeaseLost(f"{self.path.parent}: no process holds it any more; repeat the same command to go on")

    def check(self) -> None:
        """Raises LeaseLost when the file is missing or another process's. Does nothing before the lease is taken."""
        if self.owner is None:
            return
        current_owner = None
        for pause in (0.0, 0.05, 0.1, 0.3):  # a contender may have renamed it for a moment
            time.sleep(pause)
            try:
                current_owner = parse_identity(_read(self.path))
            except OSError as error:
                if pause == 0.3 and error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
                    raise
                current_owner = None
            if current_owner is not None and current_owner.token == self.owner.token:
                return
        reason = f"{current_owner} has taken it" if current_owner is not None else "it was renamed, removed or replaced"
        raise LeaseLost(
            f"{self.path.parent}: {reason} while this command worked in it, which stops here; what is finished "
            "is kept: put it back, or wait for the other, then repeat the same command to go on"
        )

    def release(self) -> None:
        """Release the lease. Does nothing when this process has lost it."""
        owner, self.owner = self.owner, None
        if owner is None or owner.pid != os.getpid():
            return
        with contextlib.suppress(OSError):
            self._remove_if_same(owner.token)
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self.heartbeat_seconds)
            if self._thread.is_alive():
                return  # it waits for the file system; its file stays open until then
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def _create(self, owner: ProcessIdentity) -> bool:
        """Create the file; False when there is one."""
        try:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError:
            return False
        try:
            _write(self._handle, owner, 0)
        except BaseException:
            self.path.unlink(missing_ok=True)
            raise
        return True

    def _remove_dead(self, notify: Notify | None) -> bool:
        """Remove a dead owner's file; False when it has gone meanwhile. Raises LeaseTaken where the owner is alive."""
        try:
            content = _read(self.path)
        except FileNotFoundError:
            return False
        owner = parse_identity(content)
        alive = owner.is_alive() if owner is not None else None
        if alive:
            raise LeaseTaken(str(owner))
        if alive is None:
            if notify is not None:
                notify(
                    f"{self.path}: of {owner or 'an unnamed process'}, which cannot be seen from here; "
                    f"waiting up to {self.stale_seconds:g} s for a heartbeat"
                )
            if not self._is_unchanged(content):
                return False
        return self._remove_if_same(owner.token if owner is not None else content)

    def _is_unchanged(self, content: bytes | None) -> bool:
        """Watch the file: True when it stays the same, False when another owner's or gone. Raises LeaseTaken at a heartbeat."""
        until = time.monotonic() + self.stale_seconds
        while time.monotonic() < until:
            time.sleep(self.heartbeat_seconds / 5)
            try:
                new_content = _read(self.path)
            except FileNotFoundError:
                return False
            except OSError:  # the file system cannot answer now: no heartbeat was seen
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
        """Remove the file if its token or contents are `expected`; True when this process removed it."""

        def is_expected(raw: bytes | None) -> bool:
            owner = parse_identity(raw)
            return (owner.token if owner is not None else raw) == expected

        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}.gone")
        try:
            if not is_expected(_read(self.path)):
                return False
            self.path.rename(aside)
        except FileNotFoundError:
            return False
        try:
            content = _read(aside)
        except FileNotFoundError:  # a dead owner's, already removed by the current one
            return True
        if is_expected(content):
            aside.unlink(missing_ok=True)
            return True
        try:  # another contender was faster, and this file is its own
            os.link(aside, self.path)
        except FileExistsError:
            pass  # a third one's already: the owner of this file will notice
        except OSError:
            if not self.path.exists():
                aside.rename(self.path)
                return False
        aside.unlink(missing_ok=True)
        return False

    def _remove_leftovers(self) -> None:
        """Remove the files of killed contenders on this host."""
        for path in self.path.parent.glob(f"{self.path.name}.*"):
            with contextlib.suppress(OSError):
                owner = parse_identity(_read(path))
                if owner is not None and owner.is_alive() is False:
                    path.unlink()

    def _heartbeat(self, handle: int, owner: ProcessIdentity) -> None:
        """Write heartbeats until the lease is released: into the file that was created, even after it was renamed."""
        beats = 0
        while not self._stop.wait(self.heartbeat_seconds):
            beats += 1
            with contextlib.suppress(OSError):
                _write(handle, owner, beats)


def _read(path: Path) -> bytes:
    """Current contents: opened anew each time, because a network file system asks its server only then."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.read(handle, 2 * FILE_BYTES)
    finally:
        os.close(handle)


def _write(handle: int, owner: ProcessIdentity, beats: int) -> None:
    text = json.dumps({**asdict(owner), "beats": beats})
    os.pwrite(handle, text.encode("ascii").ljust(FILE_BYTES - 1) + b"\n", 0)
    os.fsync(handle)


def owner_is_alive(path: Path) -> bool:
    """Whether a process that can be seen from here holds the lease; of one on another host only waiting tells."""
    with contextlib.suppress(OSError):
        owner = parse_identity(_read(path))
        return owner is not None and owner.is_alive() is True
    return False


@contextlib.contextmanager
def folder_lock(
    folder: Path,
    notify: Notify | None = None,
    label: str = "",
    busy_advice: str = "is working on this run; wait for it, or use --name OTHER",
    unwritable_advice: str = "use --results DIR",
) -> Iterator[Lease]:
    """Hold `folder` for writing. Raises UserError when another process holds it, or nothing can be written there.

    label: the folder's name in the error. busy_advice: what the other process does, and what to do then. unwritable_advice: what
    to do where nothing can be written.
    """
    lease = Lease(folder / LEASE)
    try:
        make_folder(folder)
        lease.acquire(notify)
    except LeaseTaken as error:
        raise UserError(f"{label or folder}: {error} {busy_advice}") from None
    except OSError as error:
        if lease.path.is_dir():
            raise UserError(
                f"{lease.path}: a folder, not the file that names the working process; remove it, then repeat"
            ) from error
        raise UserError(
            f"{label or error.filename or folder}: cannot write here ({error.strerror}); {unwritable_advice}"
        ) from error
    try:
        yield lease
    finally:
        lease.release()
