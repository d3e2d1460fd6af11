"""Tries give every continuation the value of one sequence alone, and every token shared is one column."""

import random

import pytest
import torch

from harness.language.model import loglikelihood
from harness.language.model.loglikelihood import PrefixCache, loglikelihoods
from harness.language.model.logprobs import continuation_logps, prefill_prefix
from harness.language.model.pass_plan import CostModel, interleaved, plan_passes
from harness.language.model.prefix_sharing import common_prefix_length
from harness.language.model.trie import lay_out, pack_tries, scored_sequences
from harness.records import PromptGroup
from harness.train.thread_pool import OrderedThreadPool
from tests.helpers.families import family
from tests.helpers.sampled import plain_logps

COSTS = CostModel(1e-3)
ONE_LANE = OrderedThreadPool()


def sequences_of(groups):
    return sorted((s for group in groups for s in scored_sequences(group)), key=lambda s: s.sort_key)


def random_groups(seed, count=14, most=9):
    """Contexts that begin alike, twice the same, one that goes on where another's continuation does; continuations that begin
    alike, are equal, or go on where another ends.
    """
    draw = random.Random(seed)

    def ids(shortest=0):
        return [draw.randrange(3, 6) for _ in range(draw.randint(shortest, most))]

    contexts = [ids(1) for _ in range(count)]
    contexts += [[*draw.choice(contexts), *ids()] for _ in range(count)]
    return [PromptGroup(c, [ids() for _ in range(draw.randint(1, 4))]) for c in contexts]


def test_a_trie_by_hand():
    """Columns: 5 6 | 7 8 | 9, for 5 6 -> 7 8 0, 5 6 -> 7, 5 6 -> 9 0, 5 6 7 -> 3; the last tokens are predicted, never fed."""
    (trie,) = [lay_out(sequences_of([PromptGroup([5, 6], [[7, 8, 0], [7], [9, 0]]), PromptGroup([5, 6, 7], [[3]])]))]
    assert trie.ids.tolist() == [5, 6, 7, 8, 9] and trie.positions.tolist() == [0, 1, 2, 3, 2]
    assert [places.tolist() for places in trie.sources] == [[1], [2], [1, 2, 3], [1, 4]]
    assert [tuple(segment) for segment in trie.segments if segment.start != segment.end] == [
        (0, 2, 5),
        (2, 3, 4),
        (3, 4, 4),
        (4, 5, 5),
    ]
    packed = pack_tries([sequences_of([PromptGroup([5, 6], [[7, 8, 0], [7], [9, 0]])])])
    sees = (packed.mask(torch.float32)[0, 0] == 0).int().tolist()
    assert ["".join(map(str, row)) for row in sees] == ["10000", "11000", "11100", "11110", "11001"]
    assert packed.owner.tolist() == [0, 1, 1, 1, 2, 2] and packed.target.tolist() == [7, 7, 8, 0, 9, 0]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("prefix", [[], [9, 8, 9, 7]])
def test_random_trees_have_the_values_of_one_sequence_at_a_time(seed, prefix):
    model, groups = family("llama"), random_groups(seed)
    expected = {}
    with torch.no_grad():
        for group in groups:
            for response in group.responses:
                expected[tuple(group.prompt), tuple(response)] = float(
                    plain_logps(model, [PromptGroup(group.prompt, [response])], prefix)[0]
                )
        whole = [PromptGroup([*prefix, *group.prompt], group.responses) for group in groups]
        tries = [sequences_of(whole[:9]), sequences_of(whole[9:10]), sequences_of(whole[10:])]
        tries = [trie for trie in tries if trie]
        packed = pack_tries(tries, len(prefix))
        cache = prefill_prefix(model, prefix) if prefix else None
        values = continuation_logps(model, packed, "packed", cache).logps.tolist()
    flat = [sequence for trie in tries for sequence in trie]
    assert len(values) == len(flat) == sum(bool(r) for group in groups for r in group.responses)
    for sequence, value in zip(flat, values, strict=True):
        context = tuple(sequence.ids[len(prefix) : sequence.context_length].tolist())
        assert value == pytest.approx(expected[context, tuple(sequence.continuation)], abs=1e-9)
    nodes = {(t, tuple(s.ids[:n])) for t, trie in enumerate(tries) for s in trie for n in range(len(prefix) + 1, len(s.ids) + 1)}
    assert int(packed.stop.numel()) >= sum(len(lay_out(trie, len(prefix)).ids) for trie in tries) == len(nodes)


def test_in_any_other_order_a_trie_shares_less_and_is_as_right():
    model, groups = family("llama"), random_groups(1)
    sequences = sequences_of(groups)
    mixed = random.Random(0).sample(sequences, len(sequences))
    with torch.no_grad():
        values = continuation_logps(model, pack_tries([sequences]), "packed").logps.tolist()
        others = continuation_logps(model, pack_tries([mixed]), "packed").logps.tolist()
    by_sequence = {(s.sort_key, tuple(s.continuation)): v for s, v in zip(sequences, values, strict=True)}
    assert [by_sequence[s.sort_key, tuple(s.continuation)] for s in mixed] == pytest.approx(others, abs=1e-9)
    assert len(lay_out(mixed).ids) > len(lay_out(sequences).ids)


def laid_out_columns(clusters, sequences):
    """(columns of the passes without padding, columns of the cached beginnings)"""
    tries = [(c.prefix_length, [sequences[n] for n in trie]) for c in clusters for b in c.batches for trie in b.tries]
    return sum(len(lay_out(trie, length).ids) for length, trie in tries), sum(c.prefix_length for c in clusters)


def cost_of(clusters, sequences, costs):
    total = 0.0
    for cluster in clusters:
        for batch in cluster.batches:
            for trie in batch.tries:
                positions = lay_out([sequences[n] for n in trie], cluster.prefix_length).positions
                cost = (len(positions), float(positions.sum() + len(positions) / 2), cluster.prefix_length)
                total += costs.causal(len(positions)) if batch.causal else costs.trie(*cost)
        total += costs.causal(cluster.prefix_length) + 120 * bool(cluster.prefix_length)
    return total


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "costs", [CostModel(1e-5), CostModel(3e-4, in_blocks=True), CostModel(1e-2), CostModel(1e-2, in_blocks=True)]
)
@pytest.mark.parametrize("max_tokens", [1, 30, 100_000])
def test_a_plan_holds_every_sequence_once_within_the_budget_and_costs_no_more_than_plain_rows(seed, costs, max_tokens):
    sequences = [s for g in random_groups(seed, 40, 20) for s in scored_sequences(g)]
    clusters = plan_passes(sequences, max_tokens, costs)
    batches = [batch for cluster in clusters for batch in cluster.batches]
    assert sorted(n for batch in batches for trie in batch.tries for n in trie) == list(range(len(sequences)))
    for cluster in clusters:
        for batch in cluster.batches:
            widths = [len(lay_out([sequences[n] for n in trie], cluster.prefix_length).ids) for trie in batch.tries]
            assert len(widths) == 1 or len(widths) * max(widths) <= max_tokens
            longest = max(len(sequences[n].ids) for trie in batch.tries for n in trie)
            assert max(widths) <= max(max_tokens, longest)
            assert all(sequences[n].context_length > cluster.prefix_length for trie in batch.tries for n in trie)
    plain = sum(costs.causal(len(sequence.ids)) for sequence in sequences)
    assert cost_of(clusters, sequences, costs) <= plain + 60
    apart = plan_passes(sequences, max_tokens, costs, can_share=False)
    assert all(batch.causal and not cluster.prefix_length for cluster in apart for batch in cluster.batches)
    assert cost_of(apart, sequences, costs) <= plain + 1e-6


def word(draw, count):
    return [draw.randrange(10, 10_000) for _ in range(count)]


def choice_tasks():
    """Contexts and continuations as WinoGrande has them (two contexts that fork, one continuation), PIQA (one context, two
    continuations that begin alike), five shots drawn for each document, and questions behind the same 200 tokens.
    """
    draw = random.Random(0)
    fork, pair, drawn, fixed = [], [], [], []
    shots = word(draw, 200)
    for _ in range(20):
        start, end, begin = word(draw, 20), word(draw, 6), word(draw, 8)
        fork += [PromptGroup([*start, name], [end]) for name in (1, 2)]
        pair += [PromptGroup(word(draw, 15), [[*begin, *word(draw, 9)], [*begin, *word(draw, 4)]])]
        own = word(draw, 150)
        drawn += [PromptGroup([*own, *start, name], [end]) for name in (1, 2)]
        fixed += [PromptGroup([*shots, *word(draw, 20)], [word(draw, 5) for _ in range(4)])]
    return {"fork": (fork, 20 * (20 + 2 * 6)), "pair": (pair, 20 * (15 + 8 + 8 + 3)),
            "drawn": (drawn, 20 * (150 + 20 + 2 * 6)), "fixed": (fixed, 200 + 20 * (20 + 4 * 4))}  # fmt: skip


@pytest.mark.parametrize("task", ["fork", "pair", "drawn", "fixed"])
@pytest.mark.parametrize("attention", [3.3e-4, 1.3e-3])
def test_what_the_sequences_of_a_document_share_is_one_column_each(task, attention):
    """For the attention of SmolLM2-135M and of the lab's base."""
    groups, expected = choice_tasks()[task]
    sequences = [s for group in groups for s in scored_sequences(group)]
    found, cached = laid_out_columns(plan_passes(sequences, 2048, CostModel(attention)), sequences)
    assert found + cached == expected


def test_where_hardly_anything_is_shared_rows_are_causal_and_contexts_cut_apart_share_nothing():
    draw = random.Random(1)
    text = word(draw, 3000)
    sequences = [s for n in range(12) for s in scored_sequences(PromptGroup([7, *word(draw, 60 + n)], [word(draw, 3)]))]
    sequences += [s for n in range(5) for s in scored_sequences(PromptGroup(text[n : n + 900], [word(draw, 1 + n)]))]
    clusters = plan_passes(sequences, 2048, CostModel(3.3e-4))
    assert [cluster.prefix_length for cluster in clusters] == [0] and all(b.causal for b in clusters[0].batches)
    assert laid_out_columns(clusters, sequences)[0] == sum(len(s.ids) for s in sequences)


@pytest.mark.parametrize("in_blocks", [False, True])
def test_few_columns_are_one_pass_what_is_left_for_two_is_halved_and_the_last_passes_are_the_smallest(in_blocks):
    draw = random.Random(1)
    for count, sizes in ((8, [480]), (10, [300, 300]), (16, [480, 480]), (100, [1500, 1140, 840, 660, 540, 540, 420, 360])):
        sequences = [s for _ in range(count) for s in scored_sequences(PromptGroup(word(draw, 60), [[5]]))]
        (cluster,) = plan_passes(sequences, 2048, CostModel(3.3e-4, in_blocks))
        assert [60 * len(batch.tries) for batch in cluster.batches] == sizes and all(batch.causal for batch in cluster.batches)


def test_rows_that_would_be_padded_are_packed_where_attention_is_in_blocks_and_go_apart_where_it_is_not():
    draw = random.Random(1)
    sequences = [s for n in range(5, 45, 4) for s in scored_sequences(PromptGroup(word(draw, n), [[5]]))]
    (cluster,) = plan_passes(sequences, 2048, CostModel(3.3e-4, in_blocks=True))
    assert [(len(batch.tries), batch.causal) for batch in cluster.batches] == [(10, False)]
    (cluster,) = plan_passes(sequences, 2048, CostModel(3.3e-4))
    assert len(cluster.batches) > 1 and all(batch.causal for batch in cluster.batches)


def test_attention_of_the_two_measured_models():
    """Heads * head size * 2 multiplications per key, over the weights of a layer's matrices."""
    smol = type("C", (), {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536})
    assert CostModel.of(smol, in_blocks=False).attention == pytest.approx(2 * 576 / (2 * 576**2 + 2 * 576 * 192 + 3 * 576 * 1536))


@pytest.mark.parametrize(
    ("layout", "max_tokens"), [("packed", 40), ("blocks", 40), ("blocks", 2048), ("rows", 300), ("logits", 300)]
)
def test_loglikelihoods_are_those_of_one_sequence_at_a_time_on_one_and_two_lanes(layout, max_tokens, monkeypatch):
    monkeypatch.setattr("harness.language.model.pass_plan.COLUMNS_PER_PASS", 3.0)
    prefills = []
    monkeypatch.setattr(
        loglikelihood, "prefill_prefix", lambda model, ids: prefills.append(tuple(ids)) or prefill_prefix(model, ids)
    )
    model, start = family("llama"), [9, 9, 8] * 10
    groups = [*random_groups(0), *(PromptGroup([*start, *g.prompt], g.responses) for g in random_groups(2))]
    counted = []
    with torch.no_grad():
        found = loglikelihoods(model, layout, ONE_LANE, groups, max_tokens, counted.append)
        expected = plain_logps(model, groups).tolist()
        assert [value for value, _ in found] == pytest.approx(expected, abs=1e-9)
        assert sum(counted) == len(found)
        assert loglikelihoods(model, layout, OrderedThreadPool(2), groups, max_tokens, counted.append) == found
    caches = int(max_tokens == 40)  # in wider passes one trie holds all
    assert len(set(prefills)) == caches and len(prefills) == 2 * caches
    empty = [not response for group in groups for response in group.responses]
    assert any(empty) and all(value == (0.0, True) for value, is_empty in zip(found, empty, strict=True) if is_empty)


def test_a_cache_is_computed_once_and_dropped_after_its_last_use():
    made = []
    cache = PrefixCache(lambda: made.append(1) or object(), 3)
    with cache.use() as first, cache.use() as second:
        assert first is second
    assert cache._cache is first
    with pytest.raises(ZeroDivisionError), cache.use():
        raise ZeroDivisionError
    assert made == [1] and cache._cache is None


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_take_batches_of_as_many_caches_as_they_are(threads):
    _, groups = zip(*((n, PromptGroup([n] * 300 + [5], [[6 + k, 7, 8] for k in range(80)])) for n in range(20, 24)), strict=True)
    sequences = [s for group in groups for s in scored_sequences(group)]
    clusters = plan_passes(sequences, 64, COSTS)
    order = list(interleaved(clusters, threads))
    assert len(clusters) == 4 and sorted(map(id, (b for _, b in order))) == sorted(id(b) for c in clusters for b in c.batches)
    alive = [{id(c) for c, _ in order[:n]} & {id(c) for c, _ in order[n:]} for n in range(len(order))]
    assert max(map(len, alive)) <= threads and len({id(c) for c, _ in order[:threads]}) == threads


def test_common_prefix_length():
    draw = random.Random(0)
    for _ in range(50):
        a, b = (torch.tensor([draw.randrange(2) for _ in range(draw.randint(0, 6))]).numpy() for _ in range(2))
        assert common_prefix_length(a, b) == next((n for n in range(min(len(a), len(b))) if a[n] != b[n]), min(len(a), len(b)))
