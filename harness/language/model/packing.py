"""A prefix and its continuations as one row: ids, positions, mask, and where each token is predicted. Never sees a model.

Prefix sharing and packing (Wang and Hegde 2024, arXiv:2410.20305): a prefix is computed once for all its continuations. Each
continuation attends to the prefix and itself, never to another one, and its positions go on from the prefix, so every token has
exactly the context it would have in a row of its own. A last token predicts nothing, so it is left out. Several groups share a
row without attending to each other; rows hold hardly any padding.

A row is a forest in depth-first order, cut into segments: a segment's tokens follow each other, and the segments below it stand
right behind it. So one number per column says who sees it: `stop`, the end of everything below its segment.

Legend: N continuations of all groups, M their tokens, R rows, W columns, C columns of a cache that all rows continue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from harness.records import PromptGroup

ATTENTION_COST = 0.1  # what attention costs in rows as wide as the widest group, with everything else as 1 (measured on the lab)
ACCEPTABLE_OVERHEAD = 1.03  # columns per column used up to which no better width is searched
CACHED_ROW_WIDTH = 256  # columns of a row behind a cache: wide, since every row copies the cache


class Segment(NamedTuple):
    """Columns start..end of a row, seen by themselves (causally) and by all of end..subtree_end, the segments below."""

    start: int
    end: int
    subtree_end: int


@dataclass(frozen=True)
class PackedBatch:
    """Groups laid out in rows. Continuations are numbered as the groups list them; `count` is N.

    Column j of a row is seen by column i of the same row where j <= i < stop[j].
    """

    ids: torch.Tensor  # (R, W)
    positions: torch.Tensor  # (R, W), counted within each prefix + continuation, after the cache
    stop: torch.Tensor  # (R, W), after the last column that sees this one; padding is seen by itself alone
    source: torch.Tensor  # (M,) place in the flattened rows whose output predicts a token
    target: torch.Tensor  # (M,) that token
    owner: torch.Tensor  # (M,) the continuation it belongs to
    count: int
    prefix_length: int  # C
    segments: tuple[tuple[Segment, ...], ...]  # of each row, by column from 0 on; padding is in none and comes last
    cuts: tuple[int, ...] = ()  # where the blocks of `attention_blocks` begin, and the end; none where attention takes `mask`

    def to(self, device: torch.device) -> PackedBatch:
        names = ("ids", "positions", "stop", "source", "target", "owner")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def as_one_row(self) -> PackedBatch:
        """(1, columns used): the rows one after the other, without padding. They see each other no more than before."""
        if len(self.segments) == 1 and self.segments[0][-1].end == self.ids.shape[1]:
            return self
        lengths = [row[-1].end for row in self.segments]
        starts = np.cumsum([0, *lengths[:-1]])
        used = torch.arange(self.ids.shape[1]) < torch.tensor(lengths)[:, None]
        new_columns = torch.cumsum(used.flatten(), 0) - 1
        segments = [
            Segment(*(start + column for column in segment))
            for row, start in zip(self.segments, starts.tolist(), strict=True)
            for segment in row
        ]
        stop = self.stop + torch.from_numpy(starts)[:, None]
        ids, positions, stop = (tensor[used][None] for tensor in (self.ids, self.positions, stop))
        one_row = {"ids": ids, "positions": positions, "stop": stop, "source": new_columns[self.source]}
        return replace(self, **one_row, segments=(tuple(segments),))

    def mask(self, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
        """(R, 1, W, C + W) to add to attention scores: 0 where a column may attend, -inf elsewhere.

        A column attends to itself, to earlier columns of its own prefix and continuation, and to the whole cache. `window` limits
        how many positions back, as sliding-window attention does.
        """
        rows, width = self.ids.shape
        columns = torch.arange(width, device=self.ids.device)
        visible = columns[:, None] < self.stop[:, None, :]
        visible &= columns[:, None] >= columns[None, :]
        key_positions = self.positions
        if self.prefix_length:
            visible = torch.cat([visible.new_ones(rows, width, self.prefix_length), visible], dim=2)
            before = torch.arange(self.prefix_length, device=self.ids.device).expand(rows, -1)
            key_positions = torch.cat([before, key_positions], dim=1)
        if window is not None:
            visible &= self.positions[:, :, None] - key_positions[:, None, :] < window
        return torch.zeros(visible.shape, dtype=dtype, device=self.ids.device).masked_fill_(~visible, -torch.inf)[:, None]


class Tree(NamedTuple):
    """Token sequences with what they begin with in common, in W columns of their own, from column 0."""

    ids: np.ndarray  # (W,)
    positions: np.ndarray  # (W,), after the cache
    segments: list[Segment]
    sources: list[np.ndarray]  # of every continuation, the columns whose output predicts its tokens
    targets: Sequence[Sequence[int]]  # these tokens


def pack(groups: Sequence[PromptGroup], width: int = 0, prefix_length: int = 0, one_per_row: bool = False) -> PackedBatch:
    """Groups -> rows, as `pack_trees` places them. prefix_length: tokens that all groups continue and that are in a cache."""
    return pack_trees([_lay_out(group, prefix_length) for group in groups], width, prefix_length, one_per_row)


def _lay_out(group: PromptGroup, prefix_length: int) -> Tree:
    """A prefix and its continuations, one behind the other."""
    length = len(group.prompt)
    end = prefix_length + length
    ids, positions, sources = [*group.prompt], [np.arange(prefix_length, end)], []
    segments = [Segment(0, length, group.width)]
    for tokens in group.responses:
        inputs, column = tokens[:-1], len(ids)
        columns = np.arange(column, column + len(inputs))
        if len(inputs):
            segments.append(Segment(column, column + len(inputs), column + len(inputs)))
        sources.append(np.array([length - 1, *columns] if len(tokens) else [], dtype=np.int64))
        positions.append(columns - column + end)
        ids += inputs
    return Tree(np.array(ids, dtype=np.int64), np.concatenate(positions), segments, sources, group.responses)


def pack_trees(trees: Sequence[Tree], width: int = 0, prefix_length: int = 0, one_per_row: bool = False) -> PackedBatch:
    """Trees -> rows of `width` columns, or as wide as the widest tree where that is wider; no tree is cut. Continuations are
    numbered as the trees list them.

    one_per_row: every tree has a row to itself, in the order given.
    """
    widths = [len(tree.ids) for tree in trees]
    if one_per_row:
        width, rows = max(width, *widths), [[t] for t in range(len(trees))]
    else:
        width, rows = choose_width(widths, width)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    positions = np.zeros_like(ids)
    stop = np.broadcast_to(np.arange(width) + 1, ids.shape).copy()
    segments: list[tuple[Segment, ...]] = []
    first_continuation = np.cumsum([0, *(len(tree.targets) for tree in trees)]).tolist()  # number of each tree's first one
    sources: list[np.ndarray] = [np.empty(0, dtype=np.int64)]
    targets: list[int] = []
    owners: list[int] = []
    for r, row in enumerate(rows):
        column = 0
        row_segments: list[Segment] = []
        for t in row:
            tree, end = trees[t], column + widths[t]
            ids[r, column:end], positions[r, column:end] = tree.ids, tree.positions
            row_segments += [Segment(*(bound + column for bound in segment)) for segment in tree.segments]
            for n, (places, tokens) in enumerate(zip(tree.sources, tree.targets, strict=True), first_continuation[t]):
                sources.append(places + (r * width + column))
                targets += tokens
                owners += [n] * len(tokens)
            column = end
        for segment in row_segments:
            stop[r, segment.start : segment.end] = segment.subtree_end
        segments.append(tuple(row_segments))
    return PackedBatch(
        *(torch.from_numpy(a) for a in (ids, positions, stop)),
        source=torch.from_numpy(np.concatenate(sources)),
        target=torch.tensor(targets, dtype=torch.long),
        owner=torch.tensor(owners, dtype=torch.long),
        count=first_continuation[-1],
        prefix_length=prefix_length,
        segments=tuple(segments),
    )


def choose_width(widths: Sequence[int], min_width: int = 0) -> tuple[int, list[list[int]]]:
    """The row width, and the groups of each row, that waste the least: padding, and attention over masked columns.

    Rows are as wide as the widest group, or up to twice that where narrower rows would leave much of themselves empty.
    """
    base_width = max(min_width, *widths)
    rows = first_fit_decreasing(widths, base_width)
    if len(rows) * base_width <= ACCEPTABLE_OVERHEAD * sum(widths):
        return base_width, rows

    def cost(option: tuple[int, list[list[int]]]) -> float:
        width, rows = option
        return len(rows) * width * (1 + ATTENTION_COST * width / base_width)

    wider = (int(base_width * (1 + step / 8)) for step in range(1, 9))
    return min([(base_width, rows), *((width, first_fit_decreasing(widths, width)) for width in wider)], key=cost)


def first_fit_decreasing(widths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of `widths` in as few bins of `capacity` as first-fit decreasing finds; the same for the same input."""
    free_space: list[int] = []
    contents: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: (-widths[i], i)):
        bin_index = next((b for b, free in enumerate(free_space) if free >= widths[i]), None)
        if bin_index is None:
            free_space.append(capacity)
            contents.append([])
            bin_index = len(free_space) - 1
        free_space[bin_index] -= widths[i]
        contents[bin_index].append(i)
    return contents


def batches_by_tokens(groups: Sequence[PromptGroup], max_tokens: int) -> Iterator[list[int]]:
    """Indices of groups that go through the model together: of similar width, at most `max_tokens` columns (or one group)."""
    order = sorted(range(len(groups)), key=lambda i: (groups[i].width, i))
    batch: list[int] = []
    for i in order:
        if batch and groups[i].width * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def unsort(results: Sequence[tuple[Sequence[int], Sequence[Any]]], groups: Sequence[PromptGroup]) -> list[Any]:
    """Values computed batch by batch, one per continuation, in the order in which the groups list them."""
    by_group: dict[int, Sequence[Any]] = {}
    for indices, values in results:
        offset = 0
        for g in indices:
            by_group[g] = values[offset : offset + len(groups[g].responses)]
            offset += len(groups[g].responses)
    return [value for g in range(len(groups)) for value in by_group[g]]
