"""Keys and values of a batch that grow in place and whose rows come and go.

transformers' own cache copies all it holds for every new token; this one keeps room to spare and copies when it runs out.

Legend: B rows, A heads of keys and values, T columns, D size of a head.
"""

from __future__ import annotations

from typing import Any

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
        self.hold(key_states[:, :, :0], value_states[:, :, :0])
        self.is_initialized = True

    def hold(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Take these as all there is, with no room to spare yet."""
        self.keys, self.values = keys, values
        self.room_keys, self.room_values = keys, values

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.keys.shape[2]
        new = old + key_states.shape[2]
        if new > self.room_keys.shape[2]:
            self.room_keys, self.room_values = (_with_room(held, new + new // 4 + 16) for held in (self.keys, self.values))
        self.room_keys[:, :, old:new] = key_states
        self.room_values[:, :, old:new] = value_states
        self.keys, self.values = self.room_keys[:, :, :new], self.room_values[:, :, :new]
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.hold(self.keys[indices], self.values[indices])


def _with_room(held: torch.Tensor, columns: int) -> torch.Tensor:
    room = held.new_empty((*held.shape[:2], columns, held.shape[3]))
    room[:, :, : held.shape[2]] = held
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
            held.hold(held.keys[rows, :, first:], held.values[rows, :, first:])

    def append(self, other: GrowingCache, columns: int) -> None:
        """The other's rows below these; both end at the same column, and have `columns` columns after padding on the left."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            pair: Any = (mine, theirs)
            keys = torch.cat([_padded(layer.keys, columns) for layer in pair])
            values = torch.cat([_padded(layer.values, columns) for layer in pair])
            pair[0].hold(keys, values)


def _padded(held: torch.Tensor, columns: int) -> torch.Tensor:
    return torch.nn.functional.pad(held, (0, 0, columns - held.shape[2], 0))
