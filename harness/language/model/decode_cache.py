"""Keys and values of rows being decoded: rows of similar length share tensors, so that a short row has no columns of a long one.

Every step adds one column to every row, so all rows of a segment end at the same column, and columns before a row's first token
are masked. Attention runs segment by segment, everything else of the model over all rows at once. Rows that have finished are
overwritten by the last rows of their segment; nothing else is moved.

Attention sees a layer's keys and values as `SegmentedRows`, to which torch hands `scaled_dot_product_attention` by its protocol
for types that are no tensors (`__torch_function__`). A model that does anything else with them, has a window, or attends in
another way gets one segment with padding, as a tensor.

Legend: B rows, n rows of a segment, H heads of queries, A heads of keys and values, T columns, D size of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import Cache

SEGMENT_COST = 512  # what attention to one more segment costs, in masked columns of one row
MIN_HEADROOM = 64  # columns that a new segment has room for, if so many can be needed


class PrefilledRows:
    """Rows that are not yet in a cache: row r is row `sources[r]` of the tensors, its last `lengths[r]` columns."""

    def __init__(self, keys: list[torch.Tensor], values: list[torch.Tensor], sources: list[int], lengths: list[int]) -> None:
        self.keys, self.values = keys, values  # by layer, (sources, A, T, D)
        self.sources, self.lengths = sources, lengths

    def take(self, rows: Sequence[int]) -> PrefilledRows:
        return PrefilledRows(self.keys, self.values, [self.sources[r] for r in rows], [self.lengths[r] for r in rows])

    def source_tensor(self) -> torch.Tensor | None:
        """The rows of the tensors; None where these are all, in order."""
        if self.sources == list(range(len(self.keys[0]))):
            return None
        return torch.tensor(self.sources, device=self.keys[0].device)


class Segment:
    """Rows of similar length: columns `first` to `end` of the tensors, of which those before `starts[r]` are not row r's."""

    def __init__(self, parts: Sequence[PrefilledRows], max_new_columns: int) -> None:
        """Copies the parts' rows, which all end at one column, one part below the other; a part's tensors are let go of."""
        lengths = [length for part in parts for length in part.lengths]
        self.end = max(lengths)
        self.first = 0
        self.starts = [self.end - length for length in lengths]
        self.capacity = self.end + min(max_new_columns, max(MIN_HEADROOM, self.end // 4))
        sources = [part.source_tensor() for part in parts]
        self.keys = self._copy([part.keys for part in parts], sources)
        self.values = self._copy([part.values for part in parts], sources)
        self._mask: torch.Tensor | None = None

    def _copy(self, tensors: list[list[torch.Tensor]], sources: list[torch.Tensor | None]) -> list[torch.Tensor]:
        """tensors: by part and layer. sources: rows of each part's, None: all."""
        buffers = []
        for layer in range(len(tensors[0])):
            _, heads, _, size = tensors[0][layer].shape
            buffer = tensors[0][layer].new_empty((len(self.starts), heads, self.capacity, size))
            row = 0
            for part, source in zip(tensors, sources, strict=True):
                used = part[layer][:, :, -self.end :]
                used = used if source is None else used.index_select(0, source)
                start = self.end - used.shape[2]
                target = buffer[row : row + len(used)]
                target[:, :, :start] = 0  # masked, but not even a masked column may hold what is not a number
                target[:, :, start : self.end] = used
                part[layer] = used[:0]
                row += len(used)
            buffers.append(buffer)
        return buffers

    @property
    def lengths(self) -> list[int]:
        return [self.end - start for start in self.starts]

    def take(self, rows: Sequence[int]) -> PrefilledRows:
        """These rows, for another segment; this one is no longer used."""
        keys, values = ([t[:, :, self.first : self.end] for t in tensors] for tensors in (self.keys, self.values))
        self.keys, self.values = [], []
        return PrefilledRows(keys, values, list(rows), [self.end - self.starts[r] for r in rows])

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Only these rows, without the columns that no longer belong to any; returns the rows in their new order."""
        order, kept = list(range(len(rows))), set(rows)
        holes = [r for r in order if r not in kept]
        moved = [r for r in rows if r >= len(rows)]
        if holes:
            device = self.keys[0].device
            target, source = torch.tensor(holes, device=device), torch.tensor(moved, device=device)
            for tensor in (*self.keys, *self.values):
                used = tensor[:, :, self.first : self.end]
                used[target] = used[source]
            for hole, row in zip(holes, moved, strict=True):
                order[hole] = row
        self.starts = [self.starts[r] for r in order]
        self.first = min(self.starts)
        self._mask = None
        return order

    def append(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(n, A, 1, D) each, into column `end`; returns (n, A, T, D) all columns up to it."""
        rows, last = len(self.starts), self.end + 1
        key_buffer, value_buffer = self.keys[layer][:rows], self.values[layer][:rows]
        key_buffer[:, :, self.end : last] = keys
        value_buffer[:, :, self.end : last] = values
        return key_buffer[:, :, self.first : last], value_buffer[:, :, self.first : last]

    def mask(self) -> torch.Tensor | None:
        """(n, 1, 1, T) to add to attention scores in the next step; None where every row has every column."""
        if max(self.starts) <= self.first:
            return None
        if self._mask is None:
            visible = self._visible()
            self._mask = torch.zeros(visible.shape, dtype=self.keys[0].dtype, device=visible.device)
            self._mask = self._mask.masked_fill_(~visible, -torch.inf)[:, None, None]
        return self._mask[..., self.first : self.end + 1]

    def padding_mask(self) -> torch.Tensor:
        """(n, T) of the next step, 0 before a row's first token, as transformers' models take it."""
        if self._mask is None:
            self._mask = self._visible().long()
        return self._mask[:, self.first : self.end + 1]

    def _visible(self) -> torch.Tensor:
        device = self.keys[0].device
        return torch.arange(self.capacity, device=device) >= torch.tensor(self.starts, device=device)[:, None]


class DecodeCache(Cache):
    """The cache of all rows, one segment after the other. segmented: else there is one segment at most."""

    def __init__(self, segmented: bool) -> None:
        super().__init__(layers=[])
        self.segmented = segmented
        self.segments: list[Segment] = []
        self._masks: list[torch.Tensor | None] = []  # of the step that is being computed

    # ------------------------------------------------------------ between two steps

    def arrange(self, new: Sequence[PrefilledRows], is_kept: Sequence[bool], max_new_columns: int) -> list[int]:
        """Add the new rows below the others and drop those that are not kept; returns the rows kept, in their new order.

        is_kept: by row, the new ones last. max_new_columns: that any row will still need.
        """
        sources: list[tuple[Segment | PrefilledRows, list[int], int]] = []
        first_row = 0
        for source in (*self.segments, *new):
            num_rows = len(source.lengths)
            if kept := [r for r in range(num_rows) if is_kept[first_row + r]]:
                sources.append((source, kept, first_row))
            first_row += num_rows
        sizes = [(len(kept), max(source.lengths[r] for r in kept)) for source, kept, _ in sources]
        self.segments, order = [], []
        for members in group_by_length(sizes, SEGMENT_COST if self.segmented else None):
            source, kept, first_row = sources[members[0]]
            if isinstance(source, Segment) and len(members) == 1:
                self.segments.append(source)
                order += [first_row + r for r in (source.keep(kept) if len(kept) < len(source.lengths) else kept)]
                continue
            self.segments.append(Segment([sources[m][0].take(sources[m][1]) for m in members], max_new_columns))
            order += [sources[m][2] + r for m in members for r in sources[m][1]]
        return order

    def lengths(self) -> list[int]:
        """By row, its tokens so far: the position of its next one."""
        return [length for segment in self.segments for length in segment.lengths]

    # ------------------------------------------------------------ one step

    def begin_step(self) -> torch.Tensor | None:
        """To be called before the model is; returns the (B, T) padding mask to call it with, None in segments."""
        for index, segment in enumerate(self.segments):
            if segment.end == segment.capacity:
                self.segments[index] = Segment([segment.take(range(len(segment.starts)))], segment.capacity)
        if not self.segmented:
            return self.segments[0].padding_mask()
        self._masks = [segment.mask() for segment in self.segments]
        return None

    def end_step(self) -> None:
        for segment in self.segments:
            segment.end += 1

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """(B, A, 1, D) keys and values of a layer -> all that its attention needs."""
        if not self.segmented:
            return self.segments[0].append(layer_idx, key_states, value_states)
        rows = [len(segment.starts) for segment in self.segments]
        new = zip(self.segments, key_states.split(rows), value_states.split(rows), strict=True)
        keys, values = zip(*(segment.append(layer_idx, k, v) for segment, k, v in new), strict=True)
        return SegmentedRows(keys, self._masks), SegmentedRows(values, self._masks)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return max((segment.end - segment.first for segment in self.segments), default=0)

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0


class SegmentedRows:
    """Keys or values of all rows, (B, A, T, D) with a T of its own for every segment."""

    def __init__(self, parts: Sequence[torch.Tensor], masks: Sequence[torch.Tensor | None]) -> None:
        self.parts, self.masks = parts, masks
        _, heads, _, size = parts[0].shape
        self.shape = torch.Size((sum(map(len, parts)), heads, max(part.shape[2] for part in parts), size))
        self.dtype, self.device = parts[0].dtype, parts[0].device

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return NotImplemented
        return _attend(*args, **(kwargs or {}))


def _attend(
    query: torch.Tensor,
    key: SegmentedRows,
    value: SegmentedRows,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """(B, H, 1, D) queries -> (B, H, 1, D): `scaled_dot_product_attention` of every segment's rows to their own columns.

    Query heads that share a head of keys are rows of one attention, so that keys are not repeated for them.
    """
    if attn_mask is not None or dropout_p or is_causal:
        raise ValueError("attention to rows in segments takes no mask, dropout or causal order")
    heads = key.shape[1]
    packed = query.reshape(len(query), heads, -1, query.shape[-1])
    rows = [len(part) for part in key.parts]
    parts = zip(packed.split(rows), key.parts, value.parts, key.masks, strict=True)
    out = [torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale) for q, k, v, mask in parts]
    return (torch.cat(out) if len(out) > 1 else out[0]).reshape(*query.shape[:-1], value.shape[-1])


def group_by_length(sizes: Sequence[tuple[int, int]], cost: int | None) -> list[list[int]]:
    """Which sets of rows share a segment, given each set's number of rows and longest length.

    The two neighbours in length that add the fewest masked columns are put together, as long as these are at most `cost` (None:
    until one is left).
    """
    groups = [[i] for i in sorted(range(len(sizes)), key=lambda i: -sizes[i][1])]
    while len(groups) > 1:
        rows = [sum(sizes[i][0] for i in group) for group in groups]
        lengths = [sizes[group[0]][1] for group in groups]
        added = [rows[g + 1] * (lengths[g] - lengths[g + 1]) for g in range(len(groups) - 1)]
        least = min(range(len(added)), key=added.__getitem__)
        if cost is not None and added[least] > cost:
            break
        groups[least : least + 2] = [groups[least] + groups[least + 1]]
    return groups
