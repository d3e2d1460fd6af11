"""Attention in blocks equals attention under one dense mask, in value and gradient, on any forest; the cuts are the best."""

import itertools
import random
from dataclasses import replace

import pytest
import torch

from harness.language.model.attention_blocks import (
    GATHER_COST,
    cheapest_cuts,
    cut_everywhere,
    cut_where_cheaper,
    make_blocks,
)
from harness.language.model.block_attention import attend_block_by_block, attend_in_blocks, block_mask
from harness.language.model.checkpointing import gradient_checkpointing
from harness.language.model.logprobs import collate, continuation_logps
from harness.language.model.packing import PackedBatch, Segment, pack
from harness.language.model.verify import choose_layout
from harness.records import PromptGroup
from harness.train.thread_pool import OrderedThreadPool
from tests.helpers.families import family

GROUPS = [
    PromptGroup(list(range(1, 70)), [[5, 6, 7, 8]] * 3),
    PromptGroup([3, 4], [[7] * 40, [8] * 30]),
    PromptGroup([9], [[2, 1]]),
]


def random_forest(seed, prefix_length=0, longest=12):
    """One row of three trees with at most four segments from a root to a leaf, as `PackedBatch` describes it."""
    draw = random.Random(seed)
    segments, positions, stops = [], [], []

    def grow(depth, position):
        start, length = len(positions), draw.randint(1, longest)
        positions.extend(range(position, position + length))
        place = len(segments)
        segments.append(None)
        for _ in range(draw.randint(0, 3) if depth < 4 else 0):
            grow(depth + 1, position + length)
        segments[place] = Segment(start, start + length, len(positions))

    for _ in range(3):
        grow(1, prefix_length)
    for segment in segments:
        stops += [segment.subtree_end] * (segment.end - segment.start)
    row, empty = torch.tensor([positions]), torch.empty(0, dtype=torch.long)
    return PackedBatch(row, row, torch.tensor([stops]), empty, empty, empty, 0, prefix_length, (tuple(segments),))


def sees(packed, i, j):
    """Whether column i sees column j, by walking from i's segment to its root: the definition, without `stop`."""
    home = next(s for s in packed.segments[0] if s.start <= i < s.end)
    owner = next(s for s in packed.segments[0] if s.start <= j < s.end)
    return j <= i and owner.start <= home.start < owner.subtree_end


@pytest.mark.parametrize("seed", range(4))
def test_the_mask_of_a_forest_is_its_definition(seed):
    packed = random_forest(seed, longest=4)
    mask, width = packed.mask(torch.float32)[0, 0] == 0, packed.ids.shape[1]
    assert mask.tolist() == [[sees(packed, i, j) for j in range(width)] for i in range(width)]


@pytest.mark.parametrize("attend", [attend_in_blocks, attend_block_by_block])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
@pytest.mark.parametrize(("prefix_length", "window"), [(0, None), (5, None), (0, 7), (5, 7)])
def test_values_and_gradients_equal_attention_under_a_dense_mask(attend, heads, key_heads, prefix_length, window):
    """softmax(scale Q K' + mask) V in float64, written out; blocks as small as they get, chosen ones, and one for all."""
    torch.manual_seed(0)
    for seed in range(3):
        packed = random_forest(seed, prefix_length)
        width = packed.ids.shape[1]
        query, incoming = (torch.randn(1, heads, width, 8, dtype=torch.float64, requires_grad=True) for _ in range(2))
        key, value = (
            torch.randn(1, key_heads, prefix_length + width, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)
        )
        repeated_key, repeated_value = (t.repeat_interleave(heads // key_heads, dim=1) for t in (key, value))
        scores = 0.3 * query @ repeated_key.mT + packed.mask(torch.float64, window)
        expected = scores.softmax(-1) @ repeated_value
        wanted = torch.autograd.grad(expected, (query, key, value), incoming.detach())
        for call_cost in (0, 300, 1e9):
            cut = replace(packed, cuts=cheapest_cuts(packed.segments[0], prefix_length, call_cost)[1])
            blocks = block_mask(make_blocks(cut, window), torch.float64, torch.device("cpu")).blocks
            assert (len(blocks) == 1) == (call_cost == 1e9)
            found = attend(query, key, value, blocks, 0.3)
            assert torch.allclose(found, expected, atol=1e-12)
            for got, want in zip(torch.autograd.grad(found, (query, key, value), incoming.detach()), wanted, strict=True):
                assert torch.allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("prefix_length", [0, 9])
@pytest.mark.parametrize("call_cost", [0, 20, 200])
def test_no_other_cuts_cost_less(prefix_length, call_cost):
    """Every set of cuts of small forests, priced by counting the keys that a block's columns see and whether they adjoin."""
    for seed in range(12):
        packed = random_forest(seed, prefix_length, longest=3)
        segments, width = packed.segments[0], packed.ids.shape[1]
        visible = packed.mask(torch.float32)[0, 0] == 0

        def price(start, end, visible=visible):
            keys = visible[start:end].any(dim=0).nonzero()[:, 0]
            is_contiguous = len(keys) == int(keys[-1] - keys[0]) + 1
            return call_cost + (end - start) * len(keys) + (0 if is_contiguous else GATHER_COST * len(keys))

        places = [segment.start for segment in segments[1:]]
        if len(places) > 9:
            continue
        options = [(0, *cuts, width) for n in range(len(places) + 1) for cuts in itertools.combinations(places, n)]
        prices = {cuts: sum(price(*pair) for pair in itertools.pairwise(cuts)) for cuts in options}
        cost, cuts = cheapest_cuts(segments, prefix_length, call_cost)
        assert cost == prices[cuts] == min(prices.values())


def test_one_row_has_the_columns_of_all_rows_and_no_padding():
    """Everything a column is and sees, by column: as in its row of before; and what predicts a token is the same column."""
    packed = pack(GROUPS, width=80)
    one_row = packed.as_one_row()
    assert len(packed.ids) > 1 and one_row.ids.shape == (1, sum(group.width for group in GROUPS))
    used = torch.tensor([[any(s.start <= i < s.end for s in row) for i in range(packed.ids.shape[1])] for row in packed.segments])
    assert used.sum() < used.numel()
    for name in ("ids", "positions"):
        assert getattr(one_row, name)[0].tolist() == getattr(packed, name)[used].tolist()
        assert getattr(one_row, name)[0][one_row.source].tolist() == getattr(packed, name).flatten()[packed.source].tolist()
    expected = torch.block_diag(*(m[0, u][:, u] == 0 for m, u in zip(packed.mask(torch.float32), used, strict=True)))
    assert torch.equal(one_row.mask(torch.float32)[0, 0] == 0, expected.bool())
    assert one_row.as_one_row() is one_row


def test_blocks_are_for_wide_rows_and_narrow_ones_stay_under_their_mask():
    """32 groups of 40 columns do not gain; of 8 groups of up to 1,000 most entries of the dense mask are not needed."""
    narrow = [PromptGroup([1] * (20 + n % 7), [[2] * 9, [3] * 8]) for n in range(32)]
    assert not cut_where_cheaper(pack(narrow), "cpu").cuts
    lengths, responses = (40, 50, 60, 80, 100, 150, 300, 800), [[2] * 91, [3] * 111]
    for prefix in (0, 200):
        packed = pack([PromptGroup([1] * length, responses) for length in lengths], prefix_length=prefix)
        needed = sum((n + 200) * prefix + n * n / 2 + 200 * n + (90**2 + 110**2) / 2 for n in lengths)
        cut = cut_where_cheaper(packed, "cpu")
        entries = sum((b.end - b.start) * sum(end - start for start, end in b.ranges) for b in make_blocks(cut))
        assert needed < entries < 1.4 * needed < 0.5 * packed.ids.numel() * (packed.ids.shape[1] + prefix)
        assert not cut_where_cheaper(packed, "cuda").cuts  # where a call costs as much as a million entries


@pytest.mark.parametrize("checkpointing", [False, True])
def test_two_lanes_and_recomputed_layers_give_the_same_bits(checkpointing):
    """Each batch has blocks of its own, which must reach the second forward pass of its own backward pass."""
    model = family("llama", torch.float32)
    parameters = [p for n, p in model.named_parameters() if "lora_" in n]
    batches = [cut_everywhere(collate(GROUPS[:n], "blocks")) for n in (3, 2, 1, 3)]

    def run(packed):
        logps = continuation_logps(model, packed, "blocks").logps
        return [logps.detach(), *torch.autograd.grad(logps.sum(), parameters)]

    expected = [run(packed) for packed in batches]
    with gradient_checkpointing(model, checkpointing):
        for num_threads in (1, 2):
            for got, want in zip(OrderedThreadPool(num_threads).map(run, batches), expected, strict=True):
                assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_attention_that_does_not_take_blocks_is_noticed_at_start_up(monkeypatch):
    """ "eager" adds the stand-in to its scores; wrong blocks are as wrong as a wrong mask."""
    model = family("llama", torch.float32)
    assert choose_layout(model).layout == "blocks"
    model.get_base_model().set_attn_implementation("eager")
    choice = choose_layout(model)
    assert choice.layout == "packed" and "in blocks" in choice.reason and choice.difference < 1e-4
    model.get_base_model().set_attn_implementation("sdpa")

    def blind(packed, window):
        return make_blocks(replace(packed, stop=torch.full_like(packed.stop, packed.ids.shape[1])), window)

    monkeypatch.setattr("harness.language.model.logprobs.make_blocks", blind)
    choice = choose_layout(model)
    assert choice.layout == "packed" and "differs by" in choice.reason


def test_a_mask_that_holds_no_blocks_is_attended_to_as_before():
    """The registered function is transformers' own for everything else: padded rows, and sampling."""
    model, ids = family("llama").get_base_model(), torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        whole = model(input_ids=ids).logits
        padded = model(input_ids=torch.tensor([[0, 0, 5, 6, 7, 8]]), attention_mask=torch.tensor([[0, 0, 1, 1, 1, 1]])).logits
        model.set_attn_implementation("eager")
        others = (padded[:, 2:], model(input_ids=ids).logits)
    for logits in others:  # rotations and the softmax of "eager" are in float32
        assert torch.allclose(logits, whole, atol=1e-5)
