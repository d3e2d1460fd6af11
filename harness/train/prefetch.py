"""Prepare the next items while the current one is worked on: one thread, a few items, the same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items; up to `depth` of them are prepared in advance. An error there is raised here, at the item's turn."""
    source = iter(items)
    with ThreadPoolExecutor(max_workers=1) as worker:
        pending: deque[Future] = deque(worker.submit(next, source, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(worker.submit(next, source, _END))
            yield item
