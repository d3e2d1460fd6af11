"""Prefix sharing (as in Hydragen, arXiv:2402.05099): which token sequences share a prefix, and how long.

A task's few-shot prompt is found by comparing tokens; its keys and values are computed once for all that continue it.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAX_DEPTH = 50  # levels of nested prefixes searched; real tasks nest two or three (all tasks, one task, one document)


@dataclass(frozen=True)
class PrefixGroup:
    """Indices of sequences whose first `length` tokens are the same; 0 where nothing worth sharing was found."""

    length: int
    members: list[int]


def group_by_prefix(sequences: Sequence[Sequence[int]], min_tokens_saved: int) -> list[PrefixGroup]:
    """Split sequences into clusters so that computing each cluster's prefix once saves the most tokens.

    min_tokens_saved: by a cluster of its own, since it goes through the model apart from the others. A prefix is never a whole
    sequence: every member keeps a token of its own. The sequences not worth it come last, together, with length 0.
    """
    order = sorted(range(len(sequences)), key=lambda i: (tuple(sequences[i]), i))
    if not order:
        return []
    ids = [np.array(sequence, dtype=np.int64) for sequence in sequences]
    common_lengths = [
        min(common_prefix_length(ids[a], ids[b]), len(ids[a]) - 1, len(ids[b]) - 1) for a, b in itertools.pairwise(order)
    ]
    _, clusters = _split_range(common_lengths, 0, len(order), min_tokens_saved, MAX_DEPTH)
    groups = [PrefixGroup(length, order[start:stop]) for start, stop, length in clusters]
    ungrouped = set(range(len(sequences))).difference(*(group.members for group in groups))
    return groups + ([PrefixGroup(0, sorted(ungrouped))] if ungrouped else [])


def common_prefix_length(a: np.ndarray, b: np.ndarray) -> int:
    """How many tokens two sequences begin with in common."""
    length = min(len(a), len(b))
    differs = a[:length] != b[:length]
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length


def _split_range(
    common_lengths: list[int], start: int, stop: int, min_tokens_saved: int, depth: int
) -> tuple[int, list[tuple[int, int, int]]]:
    """Tokens saved by the best split of the sorted sequences start..stop, and its clusters as (start, stop, shared length).

    common_lengths[i] is of sequences i and i + 1. Either all share the smallest of these, or they are split where it is reached.
    """
    if stop - start == 1:
        return 0, []
    shared_length = min(common_lengths[start : stop - 1])
    saved_together = (stop - start - 1) * shared_length - min_tokens_saved
    saved_apart, apart_clusters = 0, []
    if depth:
        edges = [start, *(i + 1 for i in range(start, stop - 1) if common_lengths[i] == shared_length), stop]
        for a, b in itertools.pairwise(edges):
            saved, clusters = _split_range(common_lengths, a, b, min_tokens_saved, depth - 1)
            saved_apart += saved
            apart_clusters += clusters
    if saved_together > max(saved_apart, 0):
        return saved_together, [(start, stop, shared_length)]
    return saved_apart, apart_clusters
