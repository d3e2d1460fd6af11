"""Stability numbers worked by hand, and intervals that are only given where there are seeds enough."""

import numpy as np
import pytest

from harness import stats
from harness.stability import stability


def test_stability_by_hand():
    """Curve 0.50 0.60 0.55 0.58 0.52: best 0.60 at 1, last 0.52, drop 0.08; steps +.10 -.05 +.03 -.06: two falls, largest 0.06;
    running best .50 .60 .60 .60 .60, losses 0 0 .05 .02 .08, mean 0.03."""
    found = stability(np.array([0.50, 0.60, 0.55, 0.58, 0.52]))
    assert (found.best_iteration, found.falls) == (1, 2)
    assert [found.best, found.last, found.drop, found.largest_fall, found.area_lost] == pytest.approx(
        [0.6, 0.52, 0.08, 0.06, 0.03]
    )


def test_a_rising_curve_has_no_drop_and_no_fall():
    found = stability(np.array([0.1, 0.2, 0.2, 0.4]))
    assert (found.best_iteration, found.drop, found.largest_fall, found.falls, found.area_lost) == (3, 0.0, 0.0, 0, 0.0)


def test_a_curve_with_a_hole_or_without_points_has_no_stability():
    assert stability(np.array([0.1, np.nan, 0.3])) is None
    assert stability(np.array([])) is None


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
