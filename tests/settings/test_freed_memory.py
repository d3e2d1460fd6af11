"""Memory that was freed is used again without a page fault, where glibc allocates and the user has not set it up otherwise."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from harness.settings import freed_memory
from harness.settings.paths import PACKAGE

# Blocks above the 32 MiB that glibc may keep by itself, each freed before the next is taken, here and in another thread.
PROGRAM = """
import resource, threading
from harness.settings.freed_memory import keep_freed_memory

def fault_counts():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        bytearray(48 << 20)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        counts.append(after - before)
        before = after

counts = []
print(keep_freed_memory())
fault_counts()
thread = threading.Thread(target=fault_counts)
thread.start()
thread.join()
print(*counts)
"""


def outcome(**environment):
    """Whether it was set, and the page faults of eight blocks, the last four in another thread."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_") and k != "GLIBC_TUNABLES"}
    environment = {**plain, "PYTHONPATH": str(PACKAGE.parent), **environment}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    was_set, counts = done.stdout.splitlines()
    return was_set == "True", [int(n) for n in counts.split()]


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None) if os.name == "posix" else None, "gnu_get_libc_version"), reason="needs glibc")
def test_freed_memory_is_used_again_without_page_faults_unless_the_user_set_the_allocator():
    was_set, (first, *later) = outcome()
    assert was_set and sum(later) < first / 10, "the next three, and four in another thread, lie where the first lay"
    was_set, (first, *later) = outcome(MALLOC_ARENA_MAX="2")
    assert not was_set and sum(later) > 5 * first, "each comes from the system anew"


def test_nothing_is_done_with_another_c_library(monkeypatch):
    for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: SimpleNamespace())
    assert freed_memory.keep_freed_memory() is False
