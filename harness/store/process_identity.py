"""Identity of a process (host, boot, container, pid, start time) that another process can check, and whether it is alive."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
import time
import uuid
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class ProcessIdentity:
    """A process. boot, namespace, started: as Linux names them; None where the system has none. since: for messages."""

    token: str
    host: str
    boot: str | None
    namespace: str | None
    pid: int
    started: str | None
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (since {self.since})"

    def is_alive(self) -> bool | None:
        """Whether the process exists; None where this process cannot know."""
        if (self.boot, self.namespace) != (boot_id(), pid_namespace()) or (self.boot is None and self.host != platform.node()):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (PermissionError, OverflowError):
            pass  # it exists, under another user
        started = start_time(self.pid)
        if started is None or self.started is None:
            return None  # a process with this pid, perhaps another one: the heartbeat decides
        return started == self.started


def current_process() -> ProcessIdentity:
    pid, since = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S%z")
    return ProcessIdentity(uuid.uuid4().hex, platform.node(), boot_id(), pid_namespace(), pid, start_time(pid), since)


def boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None


def pid_namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def start_time(pid: int) -> str | None:
    """When a process began, as a text that no other process with this pid has; "ended" for a zombie."""
    try:
        state, *after = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "ended" if state in "ZX" else after[18]  # the file's 22nd field, in clock ticks since the boot
    except (OSError, IndexError, ValueError):
        pass
    with contextlib.suppress(OSError, subprocess.SubprocessError):  # without /proc: macOS, BSD
        ps = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=True)
        return ps.stdout.strip() or None
    return None


def parse_identity(raw: bytes | None) -> ProcessIdentity | None:
    """The owner in the contents of a lease; None where there is none."""
    try:
        record = json.loads(raw or b"")
        identity = ProcessIdentity(**{field.name: record[field.name] for field in fields(ProcessIdentity)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = (identity.token, identity.host, identity.since)
    is_valid = all(isinstance(text, str) for text in texts) and type(identity.pid) is int and identity.pid > 0
    return identity if is_valid else None
