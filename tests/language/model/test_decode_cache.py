"""Rows in segments: prompts are computed with hardly any padding, and a draw does not depend on the segments beside it."""

import itertools

import pytest
import torch

from harness.language.model import decode_cache
from harness.language.model.choosing import SamplingParams
from harness.language.model.decode_cache import group_by_length
from harness.language.model.logprobs import LayoutCheck, decoder_of
from harness.language.model.prefill import MAX_PADDING, PASS_COST, passes_by_length
from harness.language.model.sampling import Request, can_use_segments, generate_tokens
from harness.language.policy import split_batches
from tests.helpers.families import family

OWN, PADDED = (LayoutCheck("packed", 0.0, "", sampler) for sampler in ("own", "own with padding"))
STOPS = frozenset({2, 3, 4, 5, 6})


def requests(head=()):
    """Three lengths apart, some prompts several times, with room for different numbers of tokens."""
    return [Request([*head, 30 + i % 7, *range(33, 33 + i % 3 + 20 * (i % 4))], 100 + i, 5 + i % 9) for i in range(40)]


@pytest.mark.parametrize("head", [[], [*range(7, 31)]])
@pytest.mark.parametrize("batch_size", [6, 40])
@pytest.mark.parametrize("name", ["llama", "one head of keys"])
def test_a_draw_is_the_same_in_any_number_of_segments(name, batch_size, head, monkeypatch):
    """With a segment for every length, with few, with one that is padded, and alone."""
    model, wanted = family(name), requests(head)
    alone = [generate_tokens(model, [one], SamplingParams(), STOPS, 1, OWN)[0] for one in wanted]
    for cost, check in ((0, OWN), (60, OWN), (10**6, OWN), (0, PADDED)):
        monkeypatch.setattr(decode_cache, "SEGMENT_COST", cost)
        found = generate_tokens(model, wanted, SamplingParams(), STOPS, batch_size, check)
        assert [f.ids for f in found] == [a.ids for a in alone]
        assert [f.logp for f in found] == pytest.approx([a.logp for a in alone], abs=1e-10)


def test_a_short_row_carries_no_columns_of_a_long_one():
    """Columns that attention reads in the first step: 8 rows of 3 and 1 of 100 tokens, with the token just drawn."""
    model, read = family("llama"), []
    attend = decode_cache._attend
    prompts = [[30 + i, 31, 32] for i in range(8)] + [[*range(40, 90), *range(30, 80)]]

    def counted(query, key, *rest, **more):
        read.append(sorted((len(part), part.shape[2]) for part in key.parts))
        return attend(query, key, *rest, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decode_cache, "_attend", counted)
        generate_tokens(model, [Request(p, i, 2) for i, p in enumerate(prompts)], SamplingParams(), frozenset(), 9, OWN)
    assert read[0] == [(1, 101), (8, 4)]


def test_a_window_has_no_segments():
    assert can_use_segments(family("llama").get_base_model())
    assert not can_use_segments(family("mistral, sliding window").get_base_model())
    assert not can_use_segments(family("gemma3").get_base_model())


def test_columns_computed_for_prompts_are_within_a_few_percent_of_their_tokens():
    lengths = [min(90, 12 + i * i % 61 + (i % 5 == 0) * i) for i in range(64)]
    model, fed = family("llama"), []
    decoder_of(model).register_forward_pre_hook(lambda m, a, k: fed.append(k["input_ids"].shape), with_kwargs=True)
    prompts = [[30 + i, *((7 * i + 3 * j) % 60 + 20 for j in range(n - 1))] for i, n in enumerate(lengths)]
    generate_tokens(model, [Request(p, 0, 1) for p in prompts], SamplingParams(), frozenset(), 64, OWN)
    columns = sum(rows * width for rows, width in fed)
    assert columns < 1.15 * sum(lengths) < 0.7 * len(lengths) * max(lengths)
    assert len(fed) < 10


def test_a_pass_takes_in_shorter_prompts_until_padding_costs_more_than_another():
    assert list(passes_by_length([])) == []
    assert list(passes_by_length([100, 100, 100])) == [(0, 3)]
    assert list(passes_by_length([1000, 950, 900, 500])) == [(0, 2), (2, 3), (3, 4)]  # 50 columns of padding; 150; 400
    lengths = sorted((i * 37 % 400 + 5 for i in range(300)), reverse=True)
    for start, stop in passes_by_length(lengths):
        padding = sum(lengths[start] - n for n in lengths[start:stop])
        assert padding <= max(PASS_COST, (stop - start) * lengths[start] // MAX_PADDING)


def test_neighbours_in_length_share_a_segment_where_that_masks_few_columns():
    sizes = [(2, 10), (1, 100), (3, 11), (1, 90)]
    assert group_by_length(sizes, 2) == [[1], [3], [2, 0]]  # 2 rows x 1 column
    assert group_by_length(sizes, 10) == [[1, 3], [2, 0]]  # and 1 row x 10 columns
    assert group_by_length(sizes, None) == [[1, 3, 2, 0]]


@pytest.mark.parametrize("num_batches", [1, 2, 6])
def test_batches_have_equally_many_rows_of_every_length_and_equal_prompts_together(num_batches):
    prompts = [[i % 40] * (3 + i % 40) for i in range(240)]  # 40 prompts, each 6 times
    batches = split_batches(prompts, num_batches)
    assert sorted(itertools.chain(*batches)) == list(range(240))
    assert {len(batch) for batch in batches} == {240 // num_batches}
    tokens = [sum(len(prompts[i]) for i in batch) for batch in batches]
    assert max(tokens) <= 1.2 * min(tokens)
    assert sum(len({tuple(prompts[i]) for i in batch}) for batch in batches) <= 40 + num_batches
    assert [len(batch) for batch in split_batches([[1, 2]] * 7, 2)] == [4, 3]
    assert split_batches([], 1) == []


def test_rows_that_go_are_overwritten_by_the_last_ones():
    """Of 6 rows the second, third and fifth go: the sixth and fourth take the free places, and a column of none is let go."""
    keys = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 9, 2).clone()
    part = decode_cache.PrefilledRows([keys], [keys + 100], list(range(6)), [5, 9, 7, 5, 6, 7])
    segment = decode_cache.Segment([part], 4)
    order = segment.keep([0, 3, 5])
    assert sorted(order) == [0, 3, 5] and order[0] == 0
    assert segment.keys[0][:3, 0, 8, 0].tolist() == order
    assert segment.values[0][:3, 0, 8, 0].tolist() == [100 + r for r in order]
    assert segment.first == 2 and segment.lengths == [[5, 9, 7, 5, 6, 7][r] for r in order]
    mask = segment.mask()
    assert mask is not None
    assert mask.isinf().sum((1, 2, 3)).tolist() == [7 - length for length in segment.lengths]
