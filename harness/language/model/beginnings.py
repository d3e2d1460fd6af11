"""Which token sequences begin alike, and how far: the few-shot prompt of a task, found in the tokens and nowhere declared."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

DEEPEST = 50  # nested beginnings looked into; real tasks nest two or three (all tasks, one task, one document)


@dataclass(frozen=True)
class Shared:
    """Numbers of sequences whose first `length` tokens are the same; 0 where nothing worth sharing was found."""

    length: int
    members: list[int]


def shared_beginnings(sequences: Sequence[Sequence[int]], cost: int) -> list[Shared]:
    """Split sequences into clusters so that computing each cluster's beginning once saves the most tokens.

    cost: tokens that a cluster of its own must save, since it goes through the model apart from the others. A beginning is
    never a whole sequence: every member keeps a token of its own. What is not worth it comes last, together, with length 0.
    """
    order = sorted(range(len(sequences)), key=lambda i: (tuple(sequences[i]), i))
    if not order:
        return []
    common = [
        min(common_length(sequences[a], sequences[b]), len(sequences[a]) - 1, len(sequences[b]) - 1)
        for a, b in itertools.pairwise(order)
    ]
    _, clusters = _clusters(common, 0, len(order), cost, DEEPEST)
    found = [Shared(length, order[start:stop]) for start, stop, length in clusters]
    loose = set(range(len(sequences))).difference(*(shared.members for shared in found))
    return found + ([Shared(0, sorted(loose))] if loose else [])


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin alike with."""
    most = min(len(a), len(b))
    return next((i for i in range(most) if a[i] != b[i]), most)


def _clusters(common: list[int], start: int, stop: int, cost: int, depth: int) -> tuple[int, list[tuple[int, int, int]]]:
    """Tokens saved by the best split of the sorted sequences start..stop, and its clusters as (start, stop, shared length).

    common[i] is what sequences i and i + 1 share. Either all share the least of these, or they part where it is reached.
    """
    if stop - start == 1:
        return 0, []
    least = min(common[start : stop - 1])
    whole = (stop - start - 1) * least - cost
    apart, parts = 0, []
    if depth:
        edges = [start, *(i + 1 for i in range(start, stop - 1) if common[i] == least), stop]
        for a, b in itertools.pairwise(edges):
            saved, clusters = _clusters(common, a, b, cost, depth - 1)
            apart += saved
            parts += clusters
    if whole > max(apart, 0):
        return whole, [(start, stop, least)]
    return apart, parts
