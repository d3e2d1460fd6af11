"""The layout itself: nothing is lost, nobody sees a sibling, rows are full."""

import random

import pytest
import torch

from harness.language.model.packing import Segment, batches_by_tokens, choose_width, first_fit_decreasing, pack, unsort
from harness.records import PromptGroup

ONE = PromptGroup([10, 11, 12], [[20, 21, 22], [30, 31]])


def test_a_prefix_with_two_continuations_by_hand():
    """Columns: 10 11 12 | 20 21 | 30; the last tokens 22 and 31 are predicted, never fed."""
    packed = pack([ONE])
    assert packed.ids.tolist() == [[10, 11, 12, 20, 21, 30]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 4, 3]] and packed.source.tolist() == [2, 3, 4, 2, 5]
    assert packed.stop.tolist() == [[6, 6, 6, 5, 5, 6]]
    assert packed.segments == ((Segment(0, 3, 6), Segment(3, 5, 5), Segment(5, 6, 6)),)
    assert packed.target.tolist() == [20, 21, 22, 30, 31] and packed.owner.tolist() == [0, 0, 0, 1, 1]
    sees = (packed.mask(torch.float32)[0, 0] == 0).int().tolist()
    assert ["".join(map(str, row)) for row in sees] == ["100000", "110000", "111000", "111100", "111110", "111001"]
    one_per_row = pack([ONE, PromptGroup([1], [[2]])], one_per_row=True)
    assert one_per_row.ids.tolist() == [[10, 11, 12, 20, 21, 30], [1, 0, 0, 0, 0, 0]]


def test_a_window_counts_positions_not_columns():
    """Window 2: column 30, at position 3, sees the prefix's position 2 although it stands five columns further on."""
    sees = (pack([ONE]).mask(torch.float32, window=2)[0, 0] == 0).int().tolist()
    assert sees[5] == [0, 0, 1, 0, 0, 1] and sees[4] == [0, 0, 0, 1, 1, 0]


def test_a_cache_is_seen_by_all_and_positions_go_on_from_it():
    packed = pack([ONE], prefix_length=4)
    assert packed.positions.tolist() == [[4, 5, 6, 7, 8, 7]]
    mask = packed.mask(torch.float32)
    assert mask.shape == (1, 1, 6, 10) and bool((mask[..., :4] == 0).all())


def test_padding_sees_itself_alone_so_no_row_of_the_mask_is_empty():
    packed = pack([ONE, PromptGroup([1], [[2]])], width=9)
    mask = packed.mask(torch.float32)[0, 0]
    assert bool((mask == 0).any(dim=1).all())
    used = max(segment.subtree_end for segment in packed.segments[0])
    assert used == 7 and torch.equal(mask[used:, used:] == 0, torch.eye(2, dtype=torch.bool))
    assert not bool((mask[used:, :used] == 0).any())


def random_groups(seed, count=60):
    draw = random.Random(seed)

    def ids(most):
        return [draw.randrange(500) for _ in range(draw.randint(1, most))]

    return [PromptGroup(ids(30), [ids(20) for _ in range(draw.randint(1, 5))]) for _ in range(count)]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_nearly_full_and_never_too_long(seed):
    widths = [g.width for g in random_groups(seed, count=400)]
    found = first_fit_decreasing(widths, max(widths))
    assert sorted(i for row in found for i in row) == list(range(len(widths)))
    assert all(sum(widths[i] for i in row) <= max(widths) for row in found)
    assert sum(widths) / (len(found) * max(widths)) > 0.95


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [8, 32, 200])
def test_hardly_any_column_is_empty_whatever_the_widths(seed, count):
    """Groups just over half as wide as the widest one would leave every other half row empty."""
    draw = random.Random(seed)
    for low, high in ((20, 57), (30, 57), (10, 200)):
        widths = [draw.randint(low, high) for _ in range(count)]
        width, rows = choose_width(widths)
        assert max(sum(widths[i] for i in row) for row in rows) <= width <= 2 * max(widths)
        assert sum(widths) / (len(rows) * width) > {8: 0.7, 32: 0.87, 200: 0.93}[count]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_passes_hold_the_budget_and_values_come_back_in_order(seed, budget):
    groups = random_groups(seed)
    parts = []
    for numbers in batches_by_tokens(groups, budget):
        assert len(numbers) == 1 or sum(groups[g].width for g in numbers) <= budget
        parts.append((numbers, [(g, tuple(c)) for g in numbers for c in groups[g].responses]))
    assert unsort(parts, groups) == [(g, tuple(c)) for g, group in enumerate(groups) for c in group.responses]
