"""Keys and values of a batch that grow in place and whose rows come and go.

transformers' own cache copies all it holds for every new token; this one keeps room to spare and copies when it runs out.

Legend: B rows, A heads of keys and values, T columns, D size of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """One layer: `keys` and `values` (B, A, T, D) are the used columns of `room_keys` and `room_values`."""

    keys: torch.Tensor
    values: torch.Tensor
    room_keys: torch.Tensor
    room_values: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.room_keys = self.keys = key_states[:, :, :0]
        self.room_values = self.values = value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.keys.shape[2]
        new = old + key_states.shape[2]
        if new > self.room_keys.shape[2]:
            self.room_keys, self.room_values = _roomy([self.keys], new), _roomy([self.values], new)
        self.room_keys[:, :, old:new] = key_states
        self.room_values[:, :, old:new] = value_states
        self.keys, self.values = self.room_keys[:, :, :new], self.room_values[:, :, :new]
        return self.keys, self.values

    def hold(self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        """Take these rows, one part below the other, as all there is; all end at the same column, gaps on the left are 0."""
        columns = max(part.shape[2] for part in keys)
        self.room_keys, self.room_values = _roomy(keys, columns), _roomy(values, columns)
        self.keys, self.values = self.room_keys[:, :, :columns], self.room_values[:, :, :columns]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.hold([self.keys[indices]], [self.values[indices]])


def _roomy(parts: Sequence[torch.Tensor], columns: int) -> torch.Tensor:
    """The parts one below the other in a new tensor that has `columns` columns and some to spare."""
    first = parts[0]
    rows = sum(len(part) for part in parts)
    room = first.new_empty((rows, first.shape[1], columns + columns // 4 + 16, first.shape[3]))
    at, end = 0, max(part.shape[2] for part in parts)
    for part in parts:
        room[at : at + len(part), :, : end - part.shape[2]] = 0
        room[at : at + len(part), :, end - part.shape[2] : end] = part
        at += len(part)
    return room


class GrowingCache(Cache):
    """One GrowingLayer per layer of the model."""

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    @classmethod
    def continuing(cls, begun: Cache, rows: int) -> GrowingCache:
        """A cache of `rows` rows that all go on from the one row of `begun`, which stays as it is."""
        cache = cls()
        for number, layer in enumerate(begun.layers):
            held: Any = layer
            cache.update(held.keys.expand(rows, -1, -1, -1), held.values.expand(rows, -1, -1, -1), number)
        return cache

    def keep(self, rows: torch.Tensor, first: int) -> None:
        """Only these rows, only the columns from `first` on."""
        for layer in self.layers:
            held: Any = layer
            held.hold([held.keys[:, :, first:][rows]], [held.values[:, :, first:][rows]])

    def append(self, other: GrowingCache) -> None:
        """The other's rows below these; both end at the same column."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            one, two = cast("GrowingLayer", mine), cast("GrowingLayer", theirs)
            one.hold([one.keys, two.keys], [one.values, two.values])
