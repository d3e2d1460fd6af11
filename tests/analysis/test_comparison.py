"""Paired comparisons: by hand, against scipy, and against what repeated experiments show."""

import numpy as np
import pytest
import scipy.stats

from harness.analysis.comparison import ItemScores, difference, holm, mcnemar, prob_best
from harness.analysis.item_errors import ItemLayout, item_uncertainties, overall_mean
from harness.analysis.stats import Uncertainty, interval, p_value, sum_uncertainties


def player(*tasks, layouts=None):
    values = tuple(np.atleast_2d(np.asarray(task, dtype=float)) for task in tasks)
    return ItemScores(values, tuple(layouts or (ItemLayout((v.shape[1],)) for v in values)))


def right(count, items, seeds=1):
    return np.tile(np.r_[np.ones(count), np.zeros(items - count)], (seeds, 1))


def test_the_difference_is_the_mean_over_tasks_whatever_their_sizes():
    """Task 1: 3/4 against 1/4; task 2: 1/2 against 1/2: difference (0.5 + 0) / 2 = 0.25. Four items and two: nothing more."""
    found = difference(player([1, 1, 1, 0], [1, 0]), player([1, 0, 0, 0], [0, 1]))
    assert (found.value, found.seeds, found.items, found.clusters, found.over) == (0.25, 1, 6, 6, "items")
    assert (found.low, found.high, found.p) == (None, None, None)


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_one_task_is_scipys_paired_t_test_of_the_items_means(seeds):
    """Two seeds show no spread of training, so items stand alone."""
    a, b = np.random.default_rng(3).normal(size=(2, seeds, 40))
    found, theirs = difference(player(a), player(b)), scipy.stats.ttest_rel(a.mean(axis=0), b.mean(axis=0))
    assert (found.low, found.high, found.p) == pytest.approx((*theirs.confidence_interval(), theirs.pvalue))
    assert found.over == "items"


def test_items_and_seeds_add_up_by_hand():
    """Five seeds, two tasks of 30 and 50 items: s^2 / n of the items' means, over 2^2, and s^2 / 5 of the seeds' means."""
    generator = np.random.default_rng(8)
    a, b = ([generator.normal(size=(5, n)) for n in (30, 50)] for _ in range(2))
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    parts = [Uncertainty(g.mean(axis=0).var(ddof=1) / g.shape[1] / 4, g.shape[1] - 1) for g in gaps]
    seeds = np.mean([g.mean(axis=1) for g in gaps], axis=0)
    error = sum_uncertainties([*parts, Uncertainty(seeds.var(ddof=1) / 5, 4)])
    found = difference(player(*a), player(*b))
    assert found.over == "items and seeds"
    assert (found.low, found.high, found.p) == pytest.approx((*interval(seeds.mean(), error), p_value(seeds.mean(), error)))


def test_seeds_widen_the_interval_where_they_differ():
    """The same shift for all items of a seed: -0.2 to 0.2, so the t interval of five seeds, 2.776 * 0.1581 / sqrt(5)."""
    steady = np.full((5, 40), 0.5)
    shifted = steady + np.array([-0.2, -0.1, 0.0, 0.1, 0.2])[:, None]
    same, apart = difference(player(steady), player(steady)), difference(player(shifted), player(steady))
    assert (same.value, same.p) == (0.0, 1.0)
    assert (apart.low, apart.high) == pytest.approx((-0.19629, 0.19629), abs=1e-4)


@pytest.mark.parametrize("differ", [1, 2, 3, 4, 5, 6, 12])
def test_a_few_answers_are_no_certainty(differ):
    """All that differ do so in one direction: p is at least that of the exact sign test, and the interval agrees with it."""
    found = difference(player(right(differ + 20, 60)), player(right(20, 60)))
    exact = scipy.stats.binomtest(differ, differ).pvalue
    assert found.p >= exact and found.low < found.high
    assert (found.low <= 0) == (found.p > 0.05) == (differ <= 5)


def test_equal_players_are_not_certainly_equal():
    """All 40 answers alike: p is 1, and the interval that of one answer being otherwise, 2.02 / 40."""
    found = difference(player(right(10, 40)), player(right(10, 40)))
    assert (found.value, found.p) == (0.0, 1.0)
    assert (found.low, found.high) == pytest.approx((-0.05057, 0.05057), abs=1e-4)
    same = difference(player(np.full((1, 9), 0.5)), player(np.full((1, 9), 0.5)))
    assert (same.value, same.p, same.low, same.high) == (0.0, 1.0, None, None), "ratings: one answer otherwise is of no size"


def test_equal_sums_are_equal_whatever_the_order_of_summing():
    """0.1 + 0.2 and 0.3 right over two tasks, in tens: the means differ by rounding alone."""
    a, b = player(right(1, 10), right(2, 10)), player(right(3, 10), right(0, 10))
    found = difference(a, b)
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.low == -found.high < 0
    assert prob_best([a, b]) == pytest.approx(0.5, abs=0.02)


def test_under_no_difference_p_is_below_a_tenth_about_a_tenth_of_the_time():
    generator = np.random.default_rng(11)
    small = [difference(*(player(generator.integers(0, 2, (1, 100))) for _ in range(2))).p < 0.1 for _ in range(600)]
    assert 0.06 < np.mean(small) < 0.14


def test_bonferroni_for_one_difference_picked_out_of_four():
    a, b = np.random.default_rng(9).normal(size=(2, 3, 30)) + np.array([0.3, 0])[:, None, None]
    once, picked = difference(player(a), player(b)), difference(player(a), player(b), num_comparisons=4)
    assert picked.p == pytest.approx(min(1, 4 * once.p))
    wider = difference(player(a), player(b), level=1 - 0.05 / 4)
    assert (picked.low, picked.high) == pytest.approx((wider.low, wider.high))


def test_other_items_or_seeds_are_refused():
    with pytest.raises(ValueError, match="expected 1 seeds of 4 items, got 1 of 3"):
        ItemScores((np.zeros((1, 3)),), (ItemLayout((4,)),))
    with pytest.raises(ValueError, match="the same items in the same seeds"):
        difference(player(np.zeros((1, 9))), player(np.zeros((1, 8))))
    with pytest.raises(ValueError, match="2 cluster ids for 3 items"):
        ItemLayout((3,), (0, 1))


def test_parts_weigh_the_same_whatever_their_sizes():
    """Parts of 6 and 12 items: the variance is the sum of the parts' s^2 / n, over 2^2."""
    values, layout = np.random.default_rng(4).normal(size=(1, 18)), ItemLayout((6, 12))
    pieces = values[0, :6], values[0, 6:]
    assert overall_mean(values, layout.parts) == pytest.approx((pieces[0].mean() + pieces[1].mean()) / 2)
    expected = [(piece.var(ddof=1) / piece.size / 4, piece.size - 1) for piece in pieces]
    assert [(e.variance, e.df) for e in item_uncertainties(values, layout)] == pytest.approx(np.array(expected))


def test_items_that_share_a_question_are_one_cluster():
    """By hand: 1 1 1 0 0 0, three questions of two items: deviations +-1/2, sums 1, 0, -1; 3/2 * 2 / 36 = 1/12, two df.

    Every item by itself: 6/5 * 6/4 / 36 = 1/20. Ten copies of each item as one cluster are worth one item.
    """
    values = np.array([[1.0, 1, 1, 0, 0, 0]])
    for shown, layout, expected in (
        (values, ItemLayout((6,), (7, 7, 3, 3, 5, 5)), (1 / 12, 2)),
        (values, ItemLayout((6,)), (1 / 20, 5)),
        (np.repeat(values, 10, axis=1), ItemLayout((60,), tuple(np.repeat(range(6), 10))), (1 / 20, 5)),
    ):
        (found,) = item_uncertainties(shown, layout)
        assert (found.variance, found.df) == pytest.approx(expected)


def test_a_cluster_is_one_coin_and_five_are_needed():
    a, b = np.random.default_rng(6).integers(0, 2, (2, 1, 12))
    ids = tuple(np.repeat(range(12), 4))
    copies = [np.repeat(side, 4, axis=1) for side in (a, b)]
    assert mcnemar(*copies, ItemLayout((48,), ids)) == pytest.approx(mcnemar(a, b))
    clustered = [player(side, layouts=[ItemLayout((48,), ids)]) for side in copies]
    found, alone = difference(*clustered), difference(player(a), player(b))
    assert (found.low, found.high, found.p) == pytest.approx((alone.low, alone.high, alone.p))
    assert (found.items, found.clusters) == (48, 12)
    assert prob_best(clustered) == pytest.approx(prob_best([player(a), player(b)]))
    few = [player(side[:, :16], layouts=[ItemLayout((16,), ids[:16])]) for side in copies]
    assert difference(*few).p is None, "four questions, sixteen items"


def test_the_chance_of_being_best_is_shared_by_equals_and_near_certain_for_the_better():
    better, worse = player(np.ones(20)), player(np.zeros(20))
    assert [prob_best([better, other]).tolist() for other in (worse, better)] == [[1.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize("seeds", [1, 4])
def test_the_chance_against_one_other_is_that_of_t(seeds):
    """One seed: t of the paired differences. Four seeds that shift all items alike: t with three degrees of freedom."""
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 1, 12)) if seeds == 1 else generator.normal(size=(2, 4, 1)) + np.zeros((2, 4, 12))
    gaps = (a - b).ravel() if seeds == 1 else (a - b)[:, 0]
    expected = scipy.stats.t.cdf(gaps.mean() / scipy.stats.sem(gaps), gaps.size - 1)
    assert prob_best([player(a), player(b)])[0] == pytest.approx(expected, abs=0.015)


def test_one_differing_answer_of_fifty_makes_nobody_the_best():
    a, b = player(*[right(3, 5)] * 10), player(*[right(3, 5)] * 9, right(2, 5))
    assert prob_best([a, b])[0] < 0.9
    assert difference(a, b).p == 1.0


def test_mcnemar_of_one_seed_is_the_exact_binomial_test():
    a, b = np.random.default_rng(4).integers(0, 2, (2, 1, 60))
    wins = int((a > b).sum())
    assert mcnemar(a, b) == pytest.approx(scipy.stats.binomtest(wins, int((a != b).sum())).pvalue, rel=1e-9)


def test_mcnemar_over_seeds_takes_an_item_as_one_coin_and_counts_all_signs():
    """Two items, three seeds, a right and b wrong everywhere: sums 3 and 3; signs ++ and -- reach |6|: p = 2/4, not 2/2^6."""
    assert mcnemar(np.ones((3, 2)), np.zeros((3, 2))) == 0.5
    a, b = np.random.default_rng(12).integers(0, 2, (2, 3, 10))
    sums = (a - b).sum(axis=0)
    signs = np.array(np.meshgrid(*[(-1, 1)] * 10)).reshape(10, -1)
    assert mcnemar(a, b) == pytest.approx(np.mean(np.abs(np.abs(sums) @ signs) >= abs(sums.sum())), rel=1e-9)


def test_mcnemar_is_for_right_and_wrong_only():
    assert mcnemar(np.array([[0.5, 1.0]]), np.array([[1.0, 0.0]])) is None


def test_holm_by_hand():
    """p 0.01 0.04 0.03 of three: 3 * 0.01 = 0.03; 2 * 0.03 = 0.06; then 0.04, held up to 0.06. A missing one is not counted."""
    first, second, none, third = holm([0.01, 0.04, None, 0.03])
    assert none is None and [first, second, third] == pytest.approx([0.03, 0.06, 0.06])
