"""Freed memory stays with the process: a matrix product's result then lies where an earlier one lay, without a page fault.

glibc gives blocks above 32 MiB back to the system once they are freed, smaller ones in part, and every thread has an area of
its own. The system then hands out empty pages for each product. One area for all threads that never shrinks needs no pages after
the first pass, and less memory in all, since what one thread has freed serves the others. See mallopt(3).
"""

from __future__ import annotations

import ctypes
import os

MALLOPT = {-1: 2**31 - 1, -4: 0, -8: 1}  # M_TRIM_THRESHOLD: bytes; M_MMAP_MAX: blocks apart; M_ARENA_MAX: areas


def keep_freed_memory() -> bool:
    """Set glibc's allocator so for this process; returns whether it was: not with another C library, nor over the user's settings
    of it (MALLOC_* and GLIBC_TUNABLES in the environment).
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        libc = ctypes.CDLL(None)
        _, mallopt = libc.gnu_get_libc_version, libc.mallopt
    except (OSError, TypeError, AttributeError):  # no such library or functions: musl, macOS, Windows
        return False
    return sum(mallopt(parameter, value) for parameter, value in MALLOPT.items()) == len(MALLOPT)  # each returns 1, or 0
