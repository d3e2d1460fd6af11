"""Retries in halves after an out-of-memory error: slower, with the same numbers up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

T = TypeVar("T")


def halve_on_oom(work: Callable[[Sequence[int]], list[T]], items: Sequence[int]) -> list[T]:
    """`work(items)`, or where memory runs out its halves one after the other. Raises torch's error when one item does not fit."""
    try:
        return work(items)
    except torch.OutOfMemoryError:
        if len(items) < 2:
            raise
    empty_cache()
    middle = len(items) // 2
    return halve_on_oom(work, items[:middle]) + halve_on_oom(work, items[middle:])


def shrink_on_oom(work: Callable[[int], T], size: int) -> T:
    """`work(size)`, started again with half the size where memory runs out. Raises torch's error when one does not fit."""
    while True:
        try:
            return work(size)
        except torch.OutOfMemoryError:
            if size < 2:
                raise
        size //= 2
        empty_cache()


def empty_cache() -> None:
    """Return memory that torch caches for reuse to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
