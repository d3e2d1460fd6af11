"""Attention of a packed batch in blocks of columns: what a block consists of and which keys it needs. Never sees a model.

Under one mask over all columns, attention computes what no column sees: other groups, siblings, whatever comes later. In a forest
in depth-first order a block of columns sees the ancestors of its first column and itself, nothing else. So a row is cut into
blocks, and each attends to its own keys under a small mask of its own. Every column's softmax runs over all of its keys at once,
so no partial results are merged, other than in Hydragen (arXiv:2402.05099), which shares the idea.

Legend: R rows, W columns, C columns of a cache that all rows continue. Costs are in entries of the score matrix of one layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from harness.language.model.packing import PackedBatch, Segment

CUT_STEP = 32  # columns between the places where a long segment may be cut
MAX_CUTS_SKIPPED = 64  # places where a block may be cut and is not
# A block's own cost, forward and backward. On a CPU the calls from Python, by the measured time of a call and rate of
# attention; elsewhere the start of kernels, estimated: a dozen of 5 microseconds, at 100 TFLOP/s.
CALL_COST = {"cpu": 3_000}
CALL_COST_ELSEWHERE = 1_000_000
COLUMN_COST = 500  # a column in everything but attention, so of padding (by measured rates 350 on the lab, 1,400 on SmolLM2)
GATHER_COST = 20  # a key that is copied, because a block's keys do not lie side by side, and its gradient


class Block(NamedTuple):
    """Columns start..end of a row, and which keys of cache + row they attend to."""

    start: int
    end: int
    ranges: tuple[tuple[int, int], ...]  # of keys, 0 being the first of the cache, in order
    visible: np.ndarray | None  # (end - start, keys of all ranges), None where all are


def cut_where_cheaper(packed: PackedBatch, device_type: str) -> PackedBatch:
    """One row in blocks, or the batch as it is where one mask over all columns of its rows costs less."""
    rows, width = packed.ids.shape
    num_columns = sum(segment.end - segment.start for row in packed.segments for segment in row)
    call_cost = CALL_COST.get(device_type, CALL_COST_ELSEWHERE)
    masked_cost = rows * width * (width + packed.prefix_length) + COLUMN_COST * (rows * width - num_columns)
    if masked_cost <= 2 * num_columns * math.sqrt(call_cost):  # nothing costs less than n calls and n squares of W / n columns
        return packed
    one_row = packed.as_one_row()
    cost, cuts = cheapest_cuts(one_row.segments[0], packed.prefix_length, call_cost)
    return replace(one_row, cuts=cuts) if cost < masked_cost else packed


def cut_everywhere(packed: PackedBatch) -> PackedBatch:
    """One row in the smallest blocks there are, to see whether a model can be computed so."""
    one_row = packed.as_one_row()
    return replace(one_row, cuts=cheapest_cuts(one_row.segments[0], packed.prefix_length, call_cost=0)[1])


def cheapest_cuts(segments: Sequence[Segment], prefix_length: int, call_cost: float) -> tuple[float, tuple[int, ...]]:
    """The cost of the best blocks of a row, and where they begin, with its end: by dynamic programming over places to cut."""
    places: list[int] = []
    num_ancestors: list[int] = []  # keys that a place's column sees before itself, without the cache
    is_contiguous: list[bool] = []  # whether they, and the cache before them, lie right before it
    chain: list[Segment] = []  # from a root to the segment at hand
    for segment in segments:
        while chain and chain[-1].subtree_end <= segment.start:
            chain.pop()
        above = sum(ancestor.end - ancestor.start for ancestor in chain)
        chain.append(segment)
        for place in range(segment.start, segment.end, CUT_STEP):
            places.append(place)
            num_ancestors.append(above + place - segment.start)
            is_contiguous.append(segment.start - above == chain[0].start and (not prefix_length or chain[0].start == 0))
    end = segments[-1].end
    best_costs, best_places = [0.0], [0]
    for i, stop in enumerate([*places[1:], end], start=1):
        best_cost, best_place = math.inf, i - 1
        for j in range(i - 1, max(-1, i - 1 - MAX_CUTS_SKIPPED), -1):
            num_rows = stop - places[j]
            num_keys = prefix_length + num_ancestors[j] + num_rows
            cost = best_costs[j] + call_cost + num_rows * num_keys + (0 if is_contiguous[j] else GATHER_COST * num_keys)
            if cost < best_cost:
                best_cost, best_place = cost, j
        best_costs.append(best_cost)
        best_places.append(best_place)
    cuts, i = [end], len(places)
    while i:
        i = best_places[i]
        cuts.append(places[i])
    return best_costs[-1], tuple(reversed(cuts))


def make_blocks(packed: PackedBatch, window: int | None = None) -> list[Block]:
    """The blocks of a batch that is one row with `cuts`. window: as in `PackedBatch.mask`."""
    assert len(packed.ids) == 1 and packed.cuts, "blocks are cut from one row"
    stop, positions = packed.stop[0].cpu().numpy(), packed.positions[0].cpu().numpy()
    blocks = []
    for start, end in zip(packed.cuts[:-1], packed.cuts[1:], strict=True):
        keys = np.flatnonzero(stop[:end] > start)
        rows = np.arange(start, end)
        visible = (keys <= rows[:, None]) & (stop[keys] > rows[:, None])
        key_positions = positions[keys]
        if length := packed.prefix_length:
            keys = np.concatenate([np.arange(length), keys + length])
            visible = np.concatenate([np.ones((len(rows), length), dtype=bool), visible], axis=1)
            key_positions = np.concatenate([np.arange(length), key_positions])
        if window is not None:
            visible &= positions[rows, None] - key_positions < window
            seen = visible.any(axis=0)
            keys, visible = keys[seen], visible[:, seen]
        gaps = np.flatnonzero(np.diff(keys) > 1)
        ranges = zip(keys[[0, *(gaps + 1)]].tolist(), (keys[[*gaps, -1]] + 1).tolist(), strict=True)
        blocks.append(Block(start, end, tuple(ranges), None if visible.all() else visible))
    return blocks
