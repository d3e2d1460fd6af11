"""A prefix and its continuations as one row: ids, positions, mask, and where each token is predicted. Never sees a model.

A prefix is computed once for all its continuations. Each continuation sees the prefix and itself, never a sibling, and its
positions go on from the prefix, so every token has exactly the neighbours it would have in a row of its own. A last token
predicts nothing, so it is not laid out. Several groups share a row without seeing each other; rows hold hardly any padding.

Legend: N continuations of all groups, M their tokens, R rows, W columns, C columns of a cache that all rows continue.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from harness.records import PromptGroup

PADDING = -1  # the group of columns that belong to nobody
ATTENTION = 0.1  # what attention costs in rows as wide as the widest group, with everything else as 1 (measured on the lab)
ENOUGH = 1.03  # columns laid out per column used with which no better width is looked for


@dataclass(frozen=True)
class Packed:
    """Groups laid out in rows. Continuations are numbered as the groups list them; `count` is N."""

    ids: torch.Tensor  # (R, W)
    positions: torch.Tensor  # (R, W), counted within each prefix + continuation, after the cache
    group: torch.Tensor  # (R, W), PADDING where a column belongs to nobody
    branch: torch.Tensor  # (R, W), 0 in a prefix, k + 1 in its continuation k
    source: torch.Tensor  # (M,) place in the flattened rows whose output predicts a token
    target: torch.Tensor  # (M,) that token
    owner: torch.Tensor  # (M,) the continuation it belongs to
    count: int
    cached: int  # C

    def to(self, device: torch.device) -> Packed:
        names = ("ids", "positions", "group", "branch", "source", "target", "owner")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=True) for name in names})

    def mask(self, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
        """(R, 1, W, C + W) to add to attention scores: 0 where a column may look, -inf elsewhere.

        A column looks back at itself, at its own prefix and at its own continuation, and at the whole cache. `window` limits
        how many positions back, as sliding-window attention does.
        """
        rows, width = self.ids.shape
        column = torch.arange(width, device=self.ids.device)
        sees = self.group[:, :, None] == self.group[:, None, :]
        sees &= (self.branch[:, None, :] == 0) | (self.branch[:, :, None] == self.branch[:, None, :])
        sees &= column[:, None] >= column[None, :]
        position = self.positions
        if self.cached:
            sees = torch.cat([sees.new_ones(rows, width, self.cached), sees], dim=2)
            before = torch.arange(self.cached, device=self.ids.device).expand(rows, -1)
            position = torch.cat([before, position], dim=1)
        if window is not None:
            sees &= self.positions[:, :, None] - position[:, None, :] < window
        return torch.zeros(sees.shape, dtype=dtype, device=self.ids.device).masked_fill_(~sees, -torch.inf)[:, None]


def pack(groups: Sequence[PromptGroup], width: int = 0, cached: int = 0, alone: bool = False) -> Packed:
    """Groups -> rows of `width` columns, or as wide as the widest group where that is wider; no group is cut.

    cached: tokens of a common beginning that all groups continue and whose keys and values are kept elsewhere.
    alone: every group has a row to itself, in the order given.
    """
    widths = [group.width for group in groups]
    if alone:
        width, rows = max(width, *widths), [[g] for g in range(len(groups))]
    else:
        width, rows = fitted(widths, width)
    ids = np.zeros((len(rows), width), dtype=np.int64)
    positions = np.zeros_like(ids)
    owners = np.full_like(ids, PADDING)
    branches = np.zeros_like(ids)
    first = np.cumsum([0, *(len(group.responses) for group in groups)])  # number of each group's first continuation
    sources: list[np.ndarray] = []
    targets: list[Sequence[int]] = []
    number: list[int] = []
    for r, row in enumerate(rows):
        at = 0
        for g in row:
            group, length = groups[g], len(groups[g].prompt)
            owners[r, at : at + group.width] = g
            ids[r, at : at + length] = group.prompt
            positions[r, at : at + length] = np.arange(cached, cached + length)
            last, at = at + length - 1, at + length
            for k, tokens in enumerate(group.responses):
                inner = max(0, len(tokens) - 1)
                ids[r, at : at + inner] = tokens[:inner]
                positions[r, at : at + inner] = np.arange(cached + length, cached + length + inner)
                branches[r, at : at + inner] = k + 1
                if len(tokens):
                    sources.append(np.concatenate([[last], np.arange(at, at + inner)]) + r * width)
                    targets.append(tokens)
                    number += [first[g] + k] * len(tokens)
                at += inner
    return Packed(
        *(torch.from_numpy(a) for a in (ids, positions, owners, branches)),
        source=torch.from_numpy(np.concatenate(sources)) if sources else torch.empty(0, dtype=torch.long),
        target=torch.tensor([token for tokens in targets for token in tokens], dtype=torch.long),
        owner=torch.tensor(number, dtype=torch.long),
        count=int(first[-1]),
        cached=cached,
    )


def fitted(widths: Sequence[int], least: int = 0) -> tuple[int, list[list[int]]]:
    """The row width, and the groups of each row, that waste the least: padding, and attention over columns one cannot see.

    Rows are as wide as the widest group, or up to twice that where narrower rows would leave much of themselves empty.
    """
    narrow = max(least, *widths)
    width, rows = narrow, bins(widths, narrow)
    if len(rows) * narrow <= ENOUGH * sum(widths):
        return width, rows
    cost = len(rows) * narrow * (1 + ATTENTION)
    for wider in (int(narrow * (1 + step / 8)) for step in range(1, 9)):
        found = bins(widths, wider)
        if len(found) * wider * (1 + ATTENTION * wider / narrow) < cost:
            cost, width, rows = len(found) * wider * (1 + ATTENTION * wider / narrow), wider, found
    return width, rows


def bins(widths: Sequence[int], capacity: int) -> list[list[int]]:
    """Numbers of `widths` in as few bins of `capacity` as first-fit decreasing finds; the same for the same input."""
    free: list[int] = []
    found: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: (-widths[i], i)):
        place = next((b for b, room in enumerate(free) if room >= widths[i]), None)
        if place is None:
            free.append(capacity)
            found.append([])
            place = len(free) - 1
        free[place] -= widths[i]
        found[place].append(i)
    return found


def passes(groups: Sequence[PromptGroup], budget: int) -> Iterator[list[int]]:
    """Numbers of groups that go through the model together: of similar width, at most `budget` columns (or one group)."""
    order = sorted(range(len(groups)), key=lambda i: (groups[i].width, i))
    part: list[int] = []
    for i in order:
        if part and groups[i].width * (len(part) + 1) > budget:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def in_order(parts: Sequence[tuple[Sequence[int], Sequence[Any]]], groups: Sequence[PromptGroup]) -> list[Any]:
    """Values found pass by pass, one per continuation, put back into the order in which the groups list them."""
    by_group: dict[int, Sequence[Any]] = {}
    for numbers, values in parts:
        at = 0
        for g in numbers:
            by_group[g] = values[at : at + len(groups[g].responses)]
            at += len(groups[g].responses)
    return [value for g in range(len(groups)) for value in by_group[g]]
