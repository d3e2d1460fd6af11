"""Log-likelihoods of contexts' continuations, for a benchmark: the passes of `pass_plan` go through the model.

Legend: N continuations of all groups. Log-likelihoods are in nats, summed over a continuation's tokens.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

from harness.language.model.logprobs import PACKED_LAYOUTS, Layout, continuation_logps, prefill_prefix, text_config
from harness.language.model.pass_plan import Batch, Cluster, CostModel, interleaved, plan_passes
from harness.language.model.trie import ScoredSequence, pack_tries, scored_sequences
from harness.progress import Advance
from harness.records import PromptGroup
from harness.train.oom import halve_on_oom
from harness.train.thread_pool import OrderedThreadPool


def loglikelihoods(
    model: Any, layout: Layout, pool: OrderedThreadPool, groups: Sequence[PromptGroup], max_tokens: int, advance: Advance
) -> list[tuple[float, bool]]:
    """N (log-likelihood, whether it is greedy decoding's continuation), in order; (0.0, True) for one without a token.

    max_tokens: columns of one pass. What sequences begin with is computed once where that pays and the layout allows it.
    """
    sequences = [sequence for group in groups for sequence in scored_sequences(group)]
    num_empty = sum(not len(response) for group in groups for response in group.responses)
    advance(num_empty)
    can_share = layout in PACKED_LAYOUTS
    clusters = plan_passes(sequences, max_tokens, CostModel.of(text_config(model), layout == "blocks"), can_share)
    caches = {
        id(cluster): PrefixCache(lambda c=cluster: _prefill(model, sequences, c), len(cluster.batches))
        for cluster in clusters
        if cluster.prefix_length
    }

    def score_batch(planned: tuple[Cluster, Batch]) -> list[tuple[int, tuple[float, bool]]]:
        cluster, batch = planned
        members = [(trie, n) for trie, numbers in enumerate(batch.tries) for n in numbers]
        batch_layout: Layout = "rows" if batch.causal and can_share else layout

        def compute(part: Sequence[int], cache: Any = None) -> list[tuple[float, bool]]:
            by_trie = itertools.groupby((members[i] for i in part), key=itemgetter(0))
            tries = [[sequences[n] for _, n in entries] for _, entries in by_trie]
            packed = pack_tries(tries, cluster.prefix_length, one_per_row=batch.causal)
            output = continuation_logps(model, packed, batch_layout, cache, with_greedy=True)
            assert output.is_greedy is not None
            return list(zip(output.logps.tolist(), output.is_greedy.tolist(), strict=True))

        if cluster.prefix_length:
            with caches[id(cluster)].use() as cache:
                values = halve_on_oom(lambda part: compute(part, cache), range(len(members)))
        else:
            values = halve_on_oom(compute, range(len(members)))
        advance(len(values))
        return [(n, value) for (_, n), value in zip(members, values, strict=True)]

    done = dict(itertools.chain.from_iterable(pool.map(score_batch, interleaved(clusters, pool.num_threads))))
    values = (done[n] for n in range(len(sequences)))
    return [next(values) if len(response) else (0.0, True) for group in groups for response in group.responses]


def _prefill(model: Any, sequences: Sequence[ScoredSequence], cluster: Cluster) -> Any:
    first = sequences[cluster.batches[0].tries[0][0]]
    return prefill_prefix(model, first.ids[: cluster.prefix_length].tolist())


class PrefixCache:
    """Keys and values of a beginning, computed by the first thread that needs them and dropped after the last of `uses`."""

    def __init__(self, compute: Callable[[], Any], uses: int) -> None:
        self._compute, self._uses, self._cache = compute, uses, None
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Any]:
        with self._lock:
            if self._cache is None:
                self._cache = self._compute()
            cache = self._cache
        try:
            yield cache
        finally:
            with self._lock:
                self._uses -= 1
                if not self._uses:
                    self._cache = None
