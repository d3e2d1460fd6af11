"""Means, intervals and aggregates by hand and against other implementations; intervals only where there are seeds enough."""

import numpy as np
import pytest
import scipy.stats

from harness.analysis import stats


def test_the_mean_over_tasks_is_absent_where_a_task_is():
    scores = np.array([[[0.2, 0.4], [0.6, np.nan]]])  # one seed, two tasks, two iterations
    assert stats.task_mean(scores)[0] == pytest.approx([0.4, np.nan], nan_ok=True)


def test_item_stderr_of_a_mean_by_hand():
    """sqrt(0.03^2 + 0.04^2) / 2 = 0.05 / 2 = 0.025."""
    assert stats.mean_stderr(np.array([0.03, 0.04])) == pytest.approx(0.025)


def test_the_interval_over_seeds_is_scipys_t_interval_of_the_seeds_means():
    means = np.random.default_rng(3).normal(0.5, 0.1, size=5)
    expected = scipy.stats.t.interval(0.95, 4, means.mean(), scipy.stats.sem(means))
    assert stats.interval_of_mean(means) == pytest.approx(expected)


@pytest.mark.parametrize("means", [[0.1, 0.5], [0.1 + 0.2, 0.3, 0.3], [0.1, np.nan, 0.3]])
def test_no_interval_below_three_seeds_with_a_hole_and_where_all_seeds_agree(means):
    """Three equal numbers show no spread, not that there is none."""
    assert stats.interval_of_mean(np.array(means)) is None


def test_satterthwaites_degrees_of_freedom_by_hand_and_as_in_scipys_welch_test():
    """Variances 1 with 2 and 2 with 8 degrees of freedom: 3^2 / (1/2 + 4/8) = 9."""
    assert stats.satterthwaite([1.0, 2.0], [2, 8]) == 9.0
    a, b = np.random.default_rng(1).normal(size=(2, 6))
    a = a[:4]
    variances = [stats.seed_uncertainty(side) for side in (a, b)]
    welch = scipy.stats.ttest_ind(a, b, equal_var=False)
    df = stats.satterthwaite([v.variance for v in variances], [v.df for v in variances])
    difference = stats.Uncertainty(sum(v.variance for v in variances), df)
    assert (df, stats.p_value(a.mean() - b.mean(), difference)) == pytest.approx((welch.df, welch.pvalue))


def test_a_sum_is_given_the_degrees_of_freedom_of_its_variances_upper_bounds():
    """Seeds 1 with 2, items 2 with 900: the bounds are v * df / chi2(0.25, df); fewer than Satterthwaite's own 17.99."""
    found = stats.sum_uncertainties([stats.Uncertainty(1.0, 2), stats.Uncertainty(2.0, 900), stats.Uncertainty(0.0, 5)])
    seeds, items = 1 * 2 / scipy.stats.chi2.ppf(0.25, 2), 2 * 900 / scipy.stats.chi2.ppf(0.25, 900)
    assert found.variance == 3.0
    assert found.df == pytest.approx((seeds + items) ** 2 / (seeds**2 / 2 + items**2 / 900))
    assert 2 < found.df < 17.9
    assert stats.sum_uncertainties([stats.Uncertainty(0.3, 4)]).df == pytest.approx(4)
    assert stats.sum_uncertainties([stats.Uncertainty(0.3, 4)] * 5).df == pytest.approx(20)


def test_nothing_is_said_where_nothing_varies_or_an_error_is_unknown():
    for variance in (0.0, np.nan):
        error = stats.sum_uncertainties([stats.Uncertainty(variance, 4)])
        assert (stats.interval(1.0, error), stats.p_value(1.0, error)) == (None, None)


def test_numbers_that_differ_by_the_rounding_of_a_sum_are_tied():
    assert stats.tied(0.1 + 0.2, 0.3)
    assert not stats.tied(0.3, 0.3 + 1 / 1_000_000)
    assert stats.probability_of_improvement(np.array([[0.1 + 0.2]]), np.array([[0.3]])) == 0.5


def test_small_simulations_cover_what_they_say():
    """2,000 tries each, from fixed draws: t over 3, 5 and 10 seeds, and over a sum of items and seeds at its worst ratio."""
    generator = np.random.default_rng(5)
    for seeds in (3, 5, 10):
        values = generator.normal(size=(2000, seeds))
        bounds = [stats.interval_of_mean(row) for row in values]
        assert np.mean([low <= 0 <= high for low, high in bounds]) > 0.93, seeds
        for ratio in (0.5, 3, 8):  # of the seeds' variance to the items'
            off = generator.normal(size=2000) * np.sqrt(ratio + 1)
            errors = ratio * generator.chisquare(seeds - 1, 2000) / (seeds - 1)
            found = [stats.sum_uncertainties([stats.Uncertainty(e, seeds - 1), stats.Uncertainty(1.0, 990)]) for e in errors]
            rejected = np.mean([stats.p_value(value, error) < 0.05 for value, error in zip(off, found, strict=True)])
            assert rejected <= 0.065, (seeds, ratio)


def test_normalised_scores_put_chance_at_zero_and_the_maximum_at_one():
    assert [stats.chance_normalised(v, 0.25) for v in (0.25, 1.0, 0.625)] == [0.0, 1.0, 0.5]


def test_aggregates_equal_those_of_rliable():
    """Recorded from rliable 1.2.0, 5 seeds of 10 tasks against 4: metrics.aggregate_iqm, aggregate_mean and
    probability_of_improvement on the same arrays."""
    generator = np.random.default_rng(7)
    first, second = generator.beta(4, 3, (5, 10)), generator.beta(3, 3, (4, 10))
    mean, better = stats.task_mean(first[:, :, None]).mean(), stats.probability_of_improvement(first, second)
    expected = (0.5965750429396676, 0.5863828329771609, 0.71)
    assert (stats.interquartile_mean(first), mean, better) == pytest.approx(expected, abs=1e-12)


def test_probability_of_improvement_by_hand_with_ties():
    """Task 1: 2 against 1 and 2: wins 1, tie 1: 0.75. Task 2: 0 against 1 and 1: 0. Mean 0.375."""
    assert stats.probability_of_improvement(np.array([[2.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 1.0]])) == 0.375


def test_the_interquartile_mean_forgets_the_outer_quarters():
    """Of 0..7 the middle half is 2, 3, 4, 5: mean 3.5; a wild outer value changes nothing."""
    for largest in (7.0, 1e9):
        assert stats.interquartile_mean(np.array([[0.0, 1, 2, 3], [4, 5, 6, largest]])) == 3.5


@pytest.mark.parametrize("aggregate", [stats.interquartile_mean, lambda x: stats.probability_of_improvement(x, x)])
def test_nothing_is_averaged_over_a_hole(aggregate):
    assert np.isnan(aggregate(np.array([[0.1, np.nan], [0.2, 0.3]])))


def test_the_detectable_difference_is_detected_as_often_as_promised():
    """Simulated: two players that disagree on 30 % of 400 items, one ahead by the difference; 80 % of z-tests at 5 % see it."""
    least = stats.minimum_detectable_effect([400], 0.3)
    generator = np.random.default_rng(5)
    ahead, behind = (0.3 + least) / 2, (0.3 - least) / 2
    wins, losses, _ = generator.multinomial(400, [ahead, behind, 0.7], size=4000).T
    seen = np.abs(wins - losses) / np.sqrt(wins + losses) > 1.959964
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_the_detectable_difference_of_several_tasks_by_hand():
    """Two tasks of 100 and 300 items, disagreement 0.2: error sqrt(0.002 + 0.2 / 300) / 2; times 1.959964 + 0.841621."""
    error = (0.002 + 0.2 / 300) ** 0.5 / 2
    assert stats.minimum_detectable_effect([100, 300], 0.2) == pytest.approx(error * (1.959964 + 0.841621), rel=1e-6)
