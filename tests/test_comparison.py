"""Paired comparisons: by hand, against scipy, and against what repeated experiments show."""

import numpy as np
import pytest
import scipy.stats

from harness.comparison import Redraws, chance_of_being_best, difference, holm, mcnemar


def redraws(seeds, items, seed=0):
    return Redraws(seeds, items, np.random.default_rng(seed), draws=2000)


def between(a, b, drawn):
    return difference(drawn.of(a), drawn.of(b))


def chances(players, drawn):
    return chance_of_being_best([drawn.of(tasks) for tasks in players])


def test_the_difference_is_the_mean_over_tasks_whatever_their_sizes():
    """Task 1: 3/4 against 1/4; task 2: 1/2 against 1/2: difference (0.5 + 0) / 2 = 0.25."""
    a = [np.array([[1.0, 1, 1, 0]]), np.array([[1.0, 0]])]
    b = [np.array([[1.0, 0, 0, 0]]), np.array([[0.0, 1]])]
    found = between(a, b, redraws(1, [4, 2]))
    assert (found.value, found.seeds, found.items) == (0.25, 1, 6)


def test_the_generator_decides_and_the_same_one_gives_the_same_interval():
    values = np.random.default_rng(1).random((3, 50))
    other = np.random.default_rng(2).random((3, 50))
    one, again, another = (between([values], [other], redraws(3, [50], seed)) for seed in (0, 0, 1))
    assert one == again
    assert (one.low, one.high) != (another.low, another.high)


def test_items_alone_give_the_width_of_the_paired_t_interval():
    """One seed, 400 items: half the width is close to 1.96 standard errors of the paired differences, not of unpaired scores."""
    generator = np.random.default_rng(3)
    shared = generator.random(400)
    a, b = (np.clip(shared + generator.normal(0.0, 0.05, 400), 0, 1)[None] for _ in range(2))
    found = between([a], [b], redraws(1, [400]))
    paired = 1.96 * (a - b).std(ddof=1) / 20
    unpaired = 1.96 * np.sqrt(a.var() + b.var()) / 20
    assert (found.high - found.low) / 2 == pytest.approx(paired, rel=0.1)
    assert (found.high - found.low) / 2 < unpaired / 3


def test_seeds_widen_the_interval_where_they_differ():
    """The same items answered alike: without spread over seeds the interval is nil, with it it is not."""
    steady = np.ones((5, 40)) * 0.5
    shifted = steady + np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    same = between([steady], [steady], redraws(5, [40]))
    apart = between([shifted], [steady], redraws(5, [40]))
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * 0.1414 / 5**0.5, rel=0.15)


def test_p_is_small_for_a_certain_difference_and_bounded_by_the_draws():
    certain = between([np.ones((1, 30))], [np.zeros((1, 30))], redraws(1, [30]))
    assert certain.p == pytest.approx(2 / 2001)


def test_under_no_difference_p_is_below_a_tenth_about_a_tenth_of_the_time():
    generator = np.random.default_rng(11)
    shared = redraws(1, [100])

    def player():
        return [generator.integers(0, 2, (1, 100)).astype(float)]

    small = [between(player(), player(), shared).p < 0.1 for _ in range(300)]
    assert 0.05 < np.mean(small) < 0.16


def test_unequal_items_are_refused():
    with pytest.raises(ValueError, match="drawn for 1 seeds of 4 items, given 1 of 3"):
        between([np.zeros((1, 3))], [np.zeros((1, 4))], redraws(1, [4]))


def test_the_chance_of_being_best_is_shared_by_equals_and_certain_for_the_better():
    better, worse = np.ones((1, 20)), np.zeros((1, 20))
    assert chances([[better], [worse]], redraws(1, [20])).tolist() == [1.0, 0.0]
    assert chances([[better], [better]], redraws(1, [20])).tolist() == [0.5, 0.5]


def test_mcnemar_of_one_seed_is_the_exact_binomial_test():
    generator = np.random.default_rng(4)
    a, b = generator.integers(0, 2, (1, 60)), generator.integers(0, 2, (1, 60))
    wins, losses = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
    assert mcnemar(a, b) == pytest.approx(scipy.stats.binomtest(wins, wins + losses).pvalue, rel=1e-9)


def test_mcnemar_over_seeds_takes_an_item_as_one_cluster():
    """Two items, three seeds, a right and b wrong everywhere: sums 3 and 3; signs ++ and -- reach |6|: p = 2/4, not 2/2^6."""
    assert mcnemar(np.ones((3, 2)), np.zeros((3, 2))) == 0.5


def test_mcnemar_is_for_right_and_wrong_only():
    assert mcnemar(np.array([[0.5, 1.0]]), np.array([[1.0, 0.0]])) is None


def test_holm_by_hand():
    """p 0.01 0.04 0.03 of three: 3 * 0.01 = 0.03; 2 * 0.03 = 0.06; then 0.04, held up to 0.06. A missing one is not counted."""
    first, second, none, third = holm([0.01, 0.04, None, 0.03])
    assert none is None
    assert [first, second, third] == pytest.approx([0.03, 0.06, 0.06])


def test_the_draws_are_as_many_as_fit_so_that_many_comparisons_can_still_be_told_apart():
    """1,600 items: 20,000 draws, so 2 / 20,001 times the 78 pairs of twelve objectives and a start is still below 0.01."""
    assert Redraws(1, [160] * 10, np.random.default_rng(0)).draws == 20_000
    assert Redraws(1, [15_000], np.random.default_rng(0)).draws == 2_666
    assert 78 * 2 / 20_001 < 0.01


def test_one_task_of_a_player_is_that_task_compared_by_itself():
    generator = np.random.default_rng(6)
    a, b = ([generator.random((2, 5)), generator.random((2, 9))] for _ in range(2))
    drawn = redraws(2, [5, 9])
    second = difference(drawn.of(a).task(1), drawn.of(b).task(1))
    assert second.value == pytest.approx((a[1] - b[1]).mean())
    assert (second.items, second.seeds) == (9, 2)
    assert second.low < second.value < second.high
