"""Independent pieces of work side by side: one thread and one core each, results in the order of the pieces.

Small matrix products do not fill several cores, but several of them at once do. torch itself keeps to one thread per lane, so
a result is the same bits whatever the number of lanes: the pieces are cut without looking at it, and sums are taken in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class OrderedThreadPool:
    """`count` pieces of work at a time; with one, everything happens in the caller's thread."""

    def __init__(self, num_threads: int = 1) -> None:
        self.num_threads = num_threads
        self._pool = (
            ThreadPoolExecutor(num_threads, "lane", torch.set_num_threads, (1,)) if num_threads > 1 else None
        )  # a thread's own count

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """[work(item), ...] in order, with gradients on or off as for the caller. The first error is raised, the rest dropped."""
        if self._pool is None:
            return [function(item) for item in items]
        grad = torch.is_grad_enabled()

        def run(item: T) -> R:
            with torch.set_grad_enabled(grad):  # the switch belongs to a thread
                return function(item)

        futures = [self._pool.submit(run, item) for item in items]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
