"""Keys and values that grow in place: of prompts, and of prefixes that several rows continue.

transformers' own cache copies all it holds for every new token; this one allocates more than it needs, and copies when full.
`decode_cache` holds the keys and values of rows being decoded.

Legend: B rows, A heads of keys and values, T columns, D size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer


class GrowingLayer(DynamicLayer):
    """One layer: `keys` and `values` (B, A, T, D) are the used columns of `key_buffer` and `value_buffer`."""

    keys: torch.Tensor
    values: torch.Tensor
    key_buffer: torch.Tensor
    value_buffer: torch.Tensor

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """The first keys and values are kept as they are, without room to grow: often nothing follows them."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys = self.key_buffer = key_states
        self.values = self.value_buffer = value_states
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            return self.keys, self.values
        old_length = self.keys.shape[2]
        new_length = old_length + key_states.shape[2]
        if new_length > self.key_buffer.shape[2]:
            self.key_buffer, self.value_buffer = _alloc(self.keys, new_length), _alloc(self.values, new_length)
        self.key_buffer[:, :, old_length:new_length] = key_states
        self.value_buffer[:, :, old_length:new_length] = value_states
        self.keys, self.values = self.key_buffer[:, :, :new_length], self.value_buffer[:, :, :new_length]
        return self.keys, self.values


def _alloc(used: torch.Tensor, length: int) -> torch.Tensor:
    """The used columns at the beginning of a new tensor that has `length` columns and some to spare."""
    rows, heads, old_length, size = used.shape
    buffer = used.new_empty((rows, heads, length + length // 4 + 16, size))
    buffer[:, :, :old_length] = used
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
