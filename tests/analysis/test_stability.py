"""Stability numbers and churn worked by hand."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from harness.analysis.stability import Stability, flip_rate, stability


def test_stability_by_hand():
    """Curve 0.50 0.60 0.55 0.58 0.52: best 0.60 at 1, last 0.52, drop 0.08; steps +.10 -.05 +.03 -.06: two falls, largest 0.06;
    running best .50 .60 .60 .60 .60, losses 0 0 .05 .02 .08, mean 0.03."""
    found = stability(np.array([0.50, 0.60, 0.55, 0.58, 0.52]))
    assert astuple(found) == pytest.approx((1, 0.6, 0.52, 0.08, 0.06, 2, 0.03))


def test_a_rising_curve_has_no_drop_and_no_fall():
    assert stability(np.array([0.1, 0.2, 0.2, 0.4])) == Stability(3, 0.4, 0.4, 0.0, 0.0, 0, 0.0)


def test_a_falling_curve_is_the_rising_one_turned_over():
    curve = np.array([3.0, 1.0, 4.0, 1.5])
    falling = stability(curve, higher_is_better=False)
    assert falling == replace(stability(-curve), best=1.0, last=1.5)
    assert (falling.best_iteration, falling.drop, falling.largest_fall) == (1, 0.5, 3.0)


@pytest.mark.parametrize("curve", [[0.1, np.nan, 0.3], []])
def test_a_curve_with_a_hole_or_without_points_has_no_stability(curve):
    assert stability(np.array(curve)) is None


def test_churn_counts_every_item_that_flips_though_the_score_stands_still():
    """1 1 0 0 -> 0 1 1 0: two of four items flip while the mean stays 0.5."""
    before, after = np.array([1.0, 1, 0, 0]), np.array([0.0, 1, 1, 0])
    assert (flip_rate(before, after), flip_rate(before, before)) == (0.5, 0.0)


def test_churn_of_different_items_is_refused():
    with pytest.raises(ValueError, match="the same items: 4 before, 3 after"):
        flip_rate(np.zeros(4), np.zeros(3))


def test_equal_means_summed_in_another_order_are_neither_a_fall_nor_a_better_iteration():
    """Three tasks: 0.1, 0.2 and 0.3 right, in two orders of summing; 0.6 and 0.6000000000000001."""
    curve = np.array([0.1 + (0.2 + 0.3), (0.1 + 0.2) + 0.3, 0.1 + (0.2 + 0.3)])
    assert curve[1] > curve[0]
    assert stability(curve) == Stability(0, curve[1], curve[2], 0.0, 0.0, 0, 0.0)
    assert stability(curve, higher_is_better=False).best_iteration == 0
    assert flip_rate(curve[:1], curve[1:2]) == 0.0


def test_one_answer_of_a_million_is_a_fall():
    found = stability(np.array([0.5, 0.5 - 1e-6]))
    assert (found.falls, found.best_iteration, found.drop) == (1, 0, pytest.approx(1e-6))
