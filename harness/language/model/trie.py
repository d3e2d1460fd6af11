"""Token sequences whose predicted tokens are scored, laid out as tries: what several begin with stands there once. No model here.

A trie in depth-first order is a forest as `packing` describes it: every token is one column, seen by what stands below it. The
choices of a context, contexts that begin alike and choices that begin alike are all cases of it. A token that is predicted reads
the output of the column one level up, so one column may predict for several sequences, and a sequence that another one continues,
or that comes twice, has no column of its own.

Legend: T tokens of a sequence, N sequences, M predicted tokens, W columns, C columns of a cache that all sequences continue.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from harness.language.model.packing import CACHED_ROW_WIDTH, PackedBatch, Segment, Tree, pack_trees
from harness.language.model.prefix_sharing import common_prefix_length
from harness.records import PromptGroup


class ScoredSequence(NamedTuple):
    """A context with one continuation of at least one token; the last token predicts nothing and is left out of `ids`."""

    ids: np.ndarray  # (T,) int32, T = context_length + len(continuation) - 1
    context_length: int
    continuation: Sequence[int]

    @property
    def sort_key(self) -> bytes:
        """Sequences in the order of these bytes stand beside those that they share most with, each behind what it continues."""
        return self.ids.astype(">i4").tobytes()


def scored_sequences(group: PromptGroup) -> list[ScoredSequence]:
    """One sequence for every response of a group that has a token, in order."""
    context = np.array(group.prompt, dtype=np.int32)
    return [
        ScoredSequence(np.concatenate([context, np.array(tokens[:-1], dtype=np.int32)]), len(context), tokens)
        for tokens in group.responses
        if len(tokens)
    ]


def lay_out(sequences: Sequence[ScoredSequence], prefix_length: int = 0) -> Tree:
    """Sequences in the order of their `sort_key` as one trie; in any other order they share less.

    prefix_length: tokens that all begin with and that are in a cache; every context is longer.
    """
    capacity = sum(len(s.ids) - prefix_length for s in sequences)
    ids, positions, stop = (np.empty(capacity, dtype=np.int64) for _ in range(3))
    column_at = np.empty(max(len(s.ids) for s in sequences), dtype=np.int64)  # of each token of the sequence at hand
    sources: list[np.ndarray] = []
    starts: list[int] = []
    width, previous = 0, sequences[0].ids[:prefix_length]
    for sequence in sequences:
        length = len(sequence.ids)
        shared = max(prefix_length, common_prefix_length(previous, sequence.ids))
        stop[column_at[shared : len(previous)]] = width
        end = width + length - shared
        ids[width:end], positions[width:end] = sequence.ids[shared:], np.arange(shared, length)
        column_at[shared:length] = np.arange(width, end)
        sources.append(column_at[sequence.context_length - 1 : length].copy())
        if end > width:
            starts.append(width)
        width, previous = end, sequence.ids
    stop[column_at[prefix_length : len(previous)]] = width
    stop = stop[:width]
    bounds = sorted({*starts, *(np.flatnonzero(stop[1:] != stop[:-1]) + 1).tolist()})
    segments = [Segment(a, b, int(stop[a])) for a, b in zip(bounds, [*bounds[1:], width], strict=True)]
    return Tree(ids[:width], positions[:width], segments, sources, [sequence.continuation for sequence in sequences])


def pack_tries(tries: Sequence[Sequence[ScoredSequence]], prefix_length: int = 0, one_per_row: bool = False) -> PackedBatch:
    """Tries in rows, none of them cut. Sequences are numbered as the tries list them.

    prefix_length: tokens of a cache that all sequences continue. one_per_row: every trie has a row to itself, in the order given;
    where each is a single sequence, or what continues one, the rows are causal and need no mask.
    """
    trees = [lay_out(sequences, prefix_length) for sequences in tries]
    width = min(CACHED_ROW_WIDTH, sum(len(tree.ids) for tree in trees)) if prefix_length and not one_per_row else 0
    return pack_trees(trees, width, prefix_length, one_per_row)
