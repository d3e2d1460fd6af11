"""Keys and values of a batch that grow in place and whose rows are added and removed.

transformers' own cache copies all it holds for every new token; this one allocates more than it needs, and copies when full.

Legend: B rows, A heads of keys and values, T columns, D size of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """One layer: `keys` and `values` (B, A, T, D) are the used columns of `key_buffer` and `value_buffer`."""

    keys: torch.Tensor
    values: torch.Tensor
    key_buffer: torch.Tensor
    value_buffer: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.dtype, self.device = key_states.dtype, key_states.device
        self.key_buffer = self.keys = key_states[:, :, :0]
        self.value_buffer = self.values = value_states[:, :, :0]
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old_length = self.keys.shape[2]
        new_length = old_length + key_states.shape[2]
        if new_length > self.key_buffer.shape[2]:
            self.key_buffer, self.value_buffer = _alloc([self.keys], new_length), _alloc([self.values], new_length)
        self.key_buffer[:, :, old_length:new_length] = key_states
        self.value_buffer[:, :, old_length:new_length] = value_states
        self.keys, self.values = self.key_buffer[:, :, :new_length], self.value_buffer[:, :, :new_length]
        return self.keys, self.values

    def set_rows(self, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
        """Replace all rows by these, one part below the other; all end at the same column, gaps on the left are 0."""
        length = max(part.shape[2] for part in keys)
        self.key_buffer, self.value_buffer = _alloc(keys, length), _alloc(values, length)
        self.keys, self.values = self.key_buffer[:, :, :length], self.value_buffer[:, :, :length]

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.set_rows([self.keys[indices]], [self.values[indices]])


def _alloc(parts: Sequence[torch.Tensor], length: int) -> torch.Tensor:
    """The parts one below the other in a new tensor that has `length` columns and some to spare."""
    first = parts[0]
    rows = sum(len(part) for part in parts)
    buffer = first.new_empty((rows, first.shape[1], length + length // 4 + 16, first.shape[3]))
    row, end = 0, max(part.shape[2] for part in parts)
    for part in parts:
        buffer[row : row + len(part), :, : end - part.shape[2]] = 0
        buffer[row : row + len(part), :, end - part.shape[2] : end] = part
        row += len(part)
    return buffer


class GrowingCache(Cache):
    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=GrowingLayer)

    @classmethod
    def from_prefix(cls, prefix_cache: Cache, num_rows: int) -> GrowingCache:
        """A cache of `num_rows` rows that all continue the one row of `prefix_cache`, which stays as it is."""
        cache = cls()
        for index, layer in enumerate(prefix_cache.layers):
            kv_layer: Any = layer
            cache.update(kv_layer.keys.expand(num_rows, -1, -1, -1), kv_layer.values.expand(num_rows, -1, -1, -1), index)
        return cache

    def select(self, rows: torch.Tensor, first_column: int) -> None:
        """Keep only these rows, only the columns from `first_column` on."""
        for layer in self.layers:
            kv_layer: Any = layer
            kv_layer.set_rows([kv_layer.keys[:, :, first_column:][rows]], [kv_layer.values[:, :, first_column:][rows]])

    def concat(self, other: GrowingCache) -> None:
        """Add the other's rows below these; both end at the same column."""
        for own_layer, other_layer in zip(self.layers, other.layers, strict=True):
            target, source = cast("GrowingLayer", own_layer), cast("GrowingLayer", other_layer)
            target.set_rows([target.keys, source.keys], [target.values, source.values])
