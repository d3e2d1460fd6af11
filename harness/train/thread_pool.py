"""Independent computations in parallel: one thread and one core each, results in the order of the inputs.

Small matrix products do not fill several cores, but several of them at once do. torch itself uses one thread in each, so a
result is the same bits whatever the number of threads: the inputs are split without looking at it, and sums are taken in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


class OrderedThreadPool:
    """`num_threads` computations at a time; with one, everything runs in the caller's thread."""

    def __init__(self, num_threads: int = 1) -> None:
        self.num_threads = num_threads
        # torch's number of threads is a setting of each thread.
        self._pool = ThreadPoolExecutor(num_threads, "lane", torch.set_num_threads, (1,)) if num_threads > 1 else None

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """[function(item), ...] in order, with gradients on or off as in the caller. Raises the first error only."""
        if self._pool is None:
            return [function(item) for item in items]
        grad = torch.is_grad_enabled()

        def run(item: T) -> R:
            with torch.set_grad_enabled(grad):  # torch's setting of each thread
                return function(item)

        return list(self._pool.map(run, items))
