"""Means, intervals and aggregates by hand and against other implementations; intervals only where there are seeds enough."""

import numpy as np
import pytest

from harness import stats


def test_the_mean_over_tasks_is_absent_where_a_task_is():
    scores = np.array([[[0.2, 0.4], [0.6, np.nan]]])  # one seed, two tasks, two iterations
    mean = stats.task_mean(scores)
    assert mean[0, 0] == pytest.approx(0.4)
    assert np.isnan(mean[0, 1])


def test_item_stderr_of_a_mean_by_hand():
    """sqrt(0.03^2 + 0.04^2) / 2 = 0.05 / 2 = 0.025."""
    assert stats.item_stderr(np.array([0.03, 0.04])) == pytest.approx(0.025)


def test_no_interval_below_three_seeds():
    generator = np.random.default_rng(0)
    assert stats.seed_interval(np.zeros((2, 3, 4)), generator) is None
    assert stats.seed_interval(np.zeros((3, 3, 4)), generator) is not None


def test_the_interval_uses_the_generator_and_covers_the_mean_of_normal_seeds():
    """Known spread: the bootstrap of 12 seeds x 5 tasks has about the width 2 * 1.96 * sd / sqrt(12 * 5)."""
    scores = np.random.default_rng(3).normal(0.5, 0.1, size=(12, 5, 1))
    low, high = stats.seed_interval(scores, np.random.default_rng(1))
    again = stats.seed_interval(scores, np.random.default_rng(1))
    other = stats.seed_interval(scores, np.random.default_rng(2))
    assert (low, high) == again
    assert (low, high) != other
    assert low[0] < scores.mean() < high[0]
    assert high[0] - low[0] == pytest.approx(2 * 1.96 * 0.1 / 60**0.5, rel=0.25)


def test_normalised_scores_put_chance_at_zero_and_the_maximum_at_one():
    assert [stats.normalised(v, 0.25) for v in (0.25, 1.0, 0.625)] == [0.0, 1.0, 0.5]


def published():
    """The arrays on which rliable 1.2.0 was run: 5 seeds of 10 tasks against 4 seeds of 10 tasks."""
    generator = np.random.default_rng(7)
    first = generator.beta(4, 3, (5, 10))
    return first, generator.beta(3, 3, (4, 10))


def test_aggregates_equal_those_of_rliable():
    """Recorded from rliable 1.2.0: metrics.aggregate_iqm, aggregate_mean and probability_of_improvement on the same arrays."""
    first, second = published()
    assert stats.interquartile_mean(first) == pytest.approx(0.5965750429396676, abs=1e-12)
    assert stats.task_mean(first[:, :, None]).mean() == pytest.approx(0.5863828329771609, abs=1e-12)
    assert stats.probability_of_improvement(first, second) == pytest.approx(0.71, abs=1e-12)


def test_probability_of_improvement_by_hand_with_ties():
    """Task 1: 2 against 1 and 2: wins 1, tie 1: 0.75. Task 2: 0 against 1 and 1: 0. Mean 0.375."""
    assert stats.probability_of_improvement(np.array([[2.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 1.0]])) == 0.375


def test_the_interquartile_mean_forgets_the_outer_quarters():
    """Of 0..7 the middle half is 2, 3, 4, 5: mean 3.5; a wild outer value changes nothing."""
    values = np.arange(8.0).reshape(2, 4)
    assert stats.interquartile_mean(values) == 3.5
    values[1, 3] = 1e9
    assert stats.interquartile_mean(values) == 3.5


@pytest.mark.parametrize("aggregate", [stats.interquartile_mean, lambda x: stats.probability_of_improvement(x, x)])
def test_nothing_is_averaged_over_a_hole(aggregate):
    assert np.isnan(aggregate(np.array([[0.1, np.nan], [0.2, 0.3]])))


def test_the_detectable_difference_is_detected_as_often_as_promised():
    """Simulated: two players that disagree on 30 % of 400 items, one ahead by the difference; 80 % of z-tests at 5 % see it."""
    least = stats.detectable_difference([400], 0.3)
    generator = np.random.default_rng(5)
    ahead, behind = (0.3 + least) / 2, (0.3 - least) / 2
    wins, losses, _ = generator.multinomial(400, [ahead, behind, 0.7], size=4000).T
    seen = np.abs(wins - losses) / np.sqrt(wins + losses) > 1.959964
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_the_detectable_difference_of_several_tasks_by_hand():
    """Two tasks of 100 and 300 items, disagreement 0.2: error sqrt(0.002 + 0.2 / 300) / 2; times 1.959964 + 0.841621."""
    error = (0.002 + 0.2 / 300) ** 0.5 / 2
    assert stats.detectable_difference([100, 300], 0.2) == pytest.approx(error * (1.959964 + 0.841621), rel=1e-6)
