"""Which token sequences go through the model together, and which of their common beginnings are computed once. No model here.

The sorted sequences are a tree: a node is a beginning that some neighbours have in common. For every node the cheapest of three
ways is taken, from the leaves up: its sequences as one trie (`trie`: the fewest columns, but each attends over the width of its
row); its beginning as keys and values in a cache that all rows below continue (prefix sharing, as in Hydragen, arXiv:2402.05099);
its children on their own, down to plain causal rows, which compute everything again but need no mask. A cost is counted in
columns, that is in what one token costs in the model's matrix products. All ways give the same numbers up to rounding.

Batches get smaller towards the end (guided self-scheduling, Polychronopoulos and Kuck 1987), whatever the number of threads, so
that threads which take one after the other end together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from harness.language.model.packing import CACHED_ROW_WIDTH
from harness.language.model.prefix_sharing import common_prefix_length
from harness.language.model.trie import ScoredSequence

# Measured on the lab's base and on SmolLM2-135M, one thread of a CPU, float32: the same within a factor of 1.5 for both.
COLUMNS_PER_PASS = 60.0  # a pass through the model beside its columns: start of every operation, way of the weights from memory
ATTENTION = 1.3  # a column's attention to a key under a mask, over the share of its floating-point operations
CAUSAL_SHARE = 0.5  # without a mask, in a causal row: it is not computed for later columns
BLOCK_SHARE = 1.3  # in blocks of columns (`attention_blocks`): what is computed over what is seen
BLOCK_ENTRIES = 3000  # keys to which a column could attend for the cost of one more block
GATHER_ENTRIES = 20  # and for one key of a block that is copied, since those of a cache and of a trie do not lie side by side

MIN_BATCH = 512  # columns; in smaller batches the cost of a pass shows
REMAINING_SHARE = 4  # a batch takes at most this part of the columns that are left
MAX_DEPTH = 50  # nested beginnings for each of which a cache is weighed; tasks nest two or three


class CostModel(NamedTuple):
    """What a way to compute costs, in columns.

    attention: floating-point operations of one column's attention to one key, over those of a column in the model's matrix
    products. in_blocks: whether tries attend in blocks, not under one mask over their rows, where that costs less.
    """

    attention: float
    in_blocks: bool = False

    @classmethod
    def of(cls, config: Any, in_blocks: bool) -> CostModel:
        """From a transformers configuration; an unusual one counts as having its layers' usual shape."""
        hidden = int(getattr(config, "hidden_size", 0) or 0) or 1
        heads = int(getattr(config, "num_attention_heads", 0) or 0) or 1
        head = int(getattr(config, "head_dim", 0) or hidden // heads)
        shared = int(getattr(config, "num_key_value_heads", 0) or heads)
        inner = int(getattr(config, "intermediate_size", 0) or 4 * hidden)
        weights = 2 * hidden * head * (heads + shared) + 3 * hidden * inner
        return cls(2 * heads * head / weights, in_blocks)

    def causal(self, width: int) -> float:
        """A row of its own, without a mask."""
        return width + ATTENTION * self.attention * CAUSAL_SHARE * width**2

    def trie(self, width: int, num_seen: float, prefix_length: int = 0) -> float:
        """num_seen: keys seen, summed over the trie's columns, a cache of `prefix_length` tokens included."""
        entries = float(width * (prefix_length + max(width, CACHED_ROW_WIDTH if prefix_length else 0)))
        if self.in_blocks:
            gathered = GATHER_ENTRIES * (prefix_length + width) if prefix_length else 0
            entries = min(entries, BLOCK_SHARE * num_seen + BLOCK_ENTRIES + gathered)
        return width + ATTENTION * self.attention * entries


@dataclass
class Batch:
    """What one pass computes: tries, each a list of indices of sequences, in the order that `lay_out` expects.

    causal: every trie is one sequence, or what continues one, and has a row to itself.
    """

    tries: list[list[int]]
    causal: bool


@dataclass
class Cluster:
    """Batches that continue the same `prefix_length` tokens, those that their sequences begin with; 0: nothing is cached."""

    prefix_length: int
    batches: list[Batch]


@dataclass(slots=True)
class _Node:
    """The sorted sequences start..stop, which begin with the same `depth` tokens."""

    start: int
    stop: int
    depth: int
    columns: int  # of their trie
    num_seen: float  # columns that the trie's columns see, themselves included, summed
    is_chain: bool  # each sequence continues the one before
    longest_prefix: int  # tokens that may be cached: the last token of every context is computed with its continuation
    first: int  # number of the first node below; all below are first..this
    children: list[int] = field(default_factory=list)


def plan_passes(sequences: Sequence[ScoredSequence], max_tokens: int, costs: CostModel, can_share: bool = True) -> list[Cluster]:
    """Every sequence in one batch of at most `max_tokens` columns (or one trie). can_share: otherwise causal rows alone."""
    if not sequences:
        return []
    costs = costs._replace(in_blocks=costs.in_blocks and can_share)
    keys = [sequence.sort_key for sequence in sequences]
    order = sorted(range(len(sequences)), key=lambda n: (keys[n], n))
    nodes = _tree([sequences[n] for n in order])
    choices = _Choices(nodes, max_tokens, costs, can_share)
    clusters = []
    for prefix_length, tries in choices.clusters():
        members = [(nodes[t].columns - prefix_length, nodes[t].is_chain, order[nodes[t].start : nodes[t].stop]) for t in tries]
        clusters.append(Cluster(prefix_length, list(_batches(members, prefix_length, max_tokens, costs))))
    return sorted(clusters, key=lambda cluster: -cluster.prefix_length)


def _tree(sequences: Sequence[ScoredSequence]) -> list[_Node]:
    """The nodes of sorted sequences, children before their parent; the last one is the root. Sequences are its leaves."""
    nodes: list[_Node] = []

    def close(start: int, stop: int, depth: int, first: int, children: list[int]) -> int:
        below = [nodes[c] for c in children]
        columns = depth + sum(node.columns - depth for node in below)
        num_seen = depth**2 / 2 + sum(node.num_seen - depth**2 / 2 for node in below)
        longer = [node for node in below if node.columns > depth]
        is_chain = len(longer) < 2 and all(node.is_chain for node in longer)
        longest_prefix = min(depth, *(node.longest_prefix for node in below))
        nodes.append(_Node(start, stop, depth, columns, num_seen, is_chain, longest_prefix, first, children))
        return len(nodes) - 1

    open_nodes: list[tuple[int, int, int, list[int]]] = []  # start, depth, first, children
    for n, sequence in enumerate(sequences):
        length = len(sequence.ids)
        nodes.append(_Node(n, n + 1, length, length, length**2 / 2, True, sequence.context_length - 1, len(nodes)))
        current, start, first = len(nodes) - 1, n, len(nodes) - 1
        shared = common_prefix_length(sequence.ids, sequences[n + 1].ids) if n + 1 < len(sequences) else -1
        while open_nodes and open_nodes[-1][1] > shared:
            start, depth, first, children = open_nodes.pop()
            children.append(current)
            current = close(start, n + 1, depth, first, children)
        if open_nodes and open_nodes[-1][1] == shared:
            open_nodes[-1][3].append(current)
        elif shared >= 0:
            open_nodes.append((start, shared, first, [current]))
    return nodes


class _Choices:
    """The cheapest way for every node, from the leaves up."""

    def __init__(self, nodes: list[_Node], max_tokens: int, costs: CostModel, can_share: bool) -> None:
        self.nodes, self.costs, self.can_share = nodes, costs, can_share
        # A beginning of two tokens that all have in common must not make one pass of them all, which one thread computes.
        self.max_trie = min(max_tokens, max(MIN_BATCH, nodes[-1].columns // REMAINING_SHARE))
        self.together = self._tries(0, len(nodes) - 1, 0)  # of every node: cost without a cache, and whether as one trie
        self.cost = [0.0] * len(nodes)
        self.is_cached = [False] * len(nodes)
        depths = self._depths()
        for v, node in enumerate(nodes):
            cost = self.together[v][0]
            if node.children:
                cost = min(cost, sum(self.cost[c] for c in node.children))
                if can_share and depths[v] <= MAX_DEPTH and self._least_cached(node) < cost:
                    cached = self._cached(v)
                    self.is_cached[v] = cached < cost
                    cost = min(cost, cached)
            self.cost[v] = cost

    def _depths(self) -> list[int]:
        depths = [0] * len(self.nodes)
        for v in range(len(self.nodes) - 1, -1, -1):
            for c in self.nodes[v].children:
                depths[c] = depths[v] + 1
        return depths

    def _tries(self, first: int, last: int, prefix_length: int) -> list[tuple[float, bool]]:
        """Of the nodes first..last: cost behind a cache of so many tokens, and whether their sequences are one trie."""
        found: list[tuple[float, bool]] = []
        for node in self.nodes[first : last + 1]:
            width = node.columns - prefix_length
            apart = sum(found[c - first][0] for c in node.children)
            if node.is_chain and not prefix_length:
                together = self.costs.causal(width)
            else:
                together = self.costs.trie(width, node.num_seen - prefix_length**2 / 2, prefix_length)
            may_be_one = node.is_chain or (self.can_share and width <= self.max_trie)
            as_one = not node.children or (may_be_one and together <= apart)
            found.append((together if as_one else apart, as_one))
        return found

    def _least_cached(self, node: _Node) -> float:
        return node.columns + 2 * COLUMNS_PER_PASS

    def _cached(self, v: int) -> float:
        """Cost of a node whose beginning is cached: a pass for that, and passes apart from all others for what follows."""
        node = self.nodes[v]
        if not node.longest_prefix:
            return float("inf")
        behind = self._tries(node.first, v, node.longest_prefix)[-1][0]
        return self.costs.causal(node.longest_prefix) + 2 * COLUMNS_PER_PASS + behind

    def clusters(self) -> Iterator[tuple[int, list[int]]]:
        """(length of the cached beginning, nodes whose sequences are one trie each)."""
        uncached: list[int] = []
        waiting = [len(self.nodes) - 1]
        while waiting:
            v = waiting.pop()
            node = self.nodes[v]
            if self.is_cached[v]:
                length = node.longest_prefix
                found = self._tries(node.first, v, length)
                yield length, self._leaves(v, [as_one for _, as_one in found], node.first)
            elif node.children and self.cost[v] < self.together[v][0]:
                waiting += node.children
            else:
                uncached += self._leaves(v, [as_one for _, as_one in self.together], 0)
        if uncached:
            yield 0, uncached

    def _leaves(self, v: int, as_one: Sequence[bool], first: int) -> list[int]:
        """The nodes below v, or v itself, that are one trie each."""
        tries, waiting = [], [v]
        while waiting:
            node = waiting.pop()
            if as_one[node - first]:
                tries.append(node)
            else:
                waiting += self.nodes[node].children
        return tries


def _batches(
    tries: Sequence[tuple[int, bool, list[int]]], prefix_length: int, max_tokens: int, costs: CostModel
) -> Iterator[Batch]:
    """Tries as (width, whether a chain, members) in passes: of similar width, the widest first."""
    chains = [trie for trie in tries if trie[1] and not prefix_length]
    others = [trie for trie in tries if prefix_length or not trie[1]]
    if chains and others:
        extra = sum(costs.trie(width, width**2 / 2) - costs.causal(width) for width, _, _ in chains)
        if extra < COLUMNS_PER_PASS:
            chains, others = [], [*tries]
    for kind, causal in ((others, False), (chains, True)):
        kind.sort(key=lambda trie: (-trie[0], trie[2][0]))
        remaining, waiting = sum(width for width, _, _ in kind), kind[::-1]
        while waiting:
            widest, columns, batch = waiting[-1][0], 0, []
            wanted = _batch_columns(remaining)
            while waiting and (not batch or (columns < wanted and widest * (len(batch) + 1) <= max_tokens)):
                if causal and not costs.in_blocks and widest * len(batch) - columns > COLUMNS_PER_PASS:
                    break  # so much padding costs more than another pass
                batch.append(waiting.pop())
                columns += batch[-1][0]
            remaining -= columns
            in_blocks = sum(costs.trie(width, width**2 / 2) for width, _, _ in batch) if costs.in_blocks else float("inf")
            yield Batch([members for _, _, members in batch], causal and len(batch) * costs.causal(widest) <= in_blocks)


def _batch_columns(remaining: int) -> float:
    """How many of the columns that are left the next batch takes; what is left for two is halved."""
    wanted = max(MIN_BATCH, remaining / REMAINING_SHARE)
    return remaining / 2 if MIN_BATCH < remaining < 2 * wanted else wanted


def interleaved(clusters: Sequence[Cluster], num_threads: int) -> Iterator[tuple[Cluster, Batch]]:
    """The batches in the order in which threads take them: as many caches at a time as there are threads."""
    for start in range(0, len(clusters), num_threads):
        lists = [[(cluster, batch) for batch in cluster.batches] for cluster in clusters[start : start + num_threads]]
        for row in itertools.zip_longest(*lists):
            yield from (entry for entry in row if entry is not None)
