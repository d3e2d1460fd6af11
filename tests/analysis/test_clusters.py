"""Items that share a question: the clustered error against hand calculations and other formulas."""

import math
import random
import statistics

import numpy as np
import pytest
from lm_eval.api import metrics

from harness.analysis.clusters import cluster_robust_stderr, effective_sample_size, number_clusters
from harness.analysis.item_errors import ItemLayout, item_uncertainties
from harness.language.benchmark.standard_errors import Item, bootstrap_stderr, clustered_row_stderr
from tests.helpers.sandwich import sandwich

DRAWN = random.Random(5)


def drawn(count):
    return [DRAWN.random() for _ in range(count)]


def test_the_clustered_error_by_hand():
    """1 1 | 0 | 1 0: mean 0.6; sums of deviations 0.8, -0.6, -0.2; squares 0.64 + 0.36 + 0.04 = 1.04; 3 / 2 * 1.04 = 1.56."""
    assert cluster_robust_stderr([1, 1, 0, 1, 0], [0, 0, 1, 2, 2]) == pytest.approx(math.sqrt(1.56) / 5, rel=1e-12)
    assert cluster_robust_stderr([1, 1, 0], [0, 0, 0]) is None
    assert cluster_robust_stderr([1], [0]) is None


def test_it_is_the_cluster_robust_error_of_regression_packages_and_of_single_items_the_usual_one():
    values = drawn(60)
    clusters = number_clusters([DRAWN.randrange(17) for _ in range(60)])
    assert cluster_robust_stderr(values, clusters) == pytest.approx(sandwich(values, clusters), rel=1e-12)
    (paired,) = item_uncertainties(np.array([values]), ItemLayout((60,), tuple(clusters)))
    assert paired.stderr == pytest.approx(sandwich(values, clusters), rel=1e-12), "as for paired comparisons"
    assert cluster_robust_stderr(values, range(60)) == pytest.approx(statistics.stdev(values) / math.sqrt(60), rel=1e-12)


def test_an_item_told_twice_teaches_nothing():
    """Every item again in its cluster: the error is that of the items once, where counting items would make it smaller."""
    values = drawn(30)
    twice, clusters = values * 2, [*range(30)] * 2
    assert cluster_robust_stderr(twice, clusters) == pytest.approx(cluster_robust_stderr(values, range(30)), rel=1e-12)
    assert cluster_robust_stderr(twice, range(60)) < 0.75 * cluster_robust_stderr(twice, clusters)
    assert effective_sample_size(clusters) == pytest.approx(30)
    assert effective_sample_size([0, 0, 1]) == pytest.approx(9 / 5)


def test_it_covers_where_the_error_over_items_does_not():
    """60 clusters of 4 answers that hang together: the variance of the mean over many samples, within a tenth."""
    generator, clusters = np.random.default_rng(1), np.repeat(np.arange(60), 4)
    values = (generator.normal(size=(800, 60))[:, clusters] + generator.normal(size=(800, 240)) > 0).astype(float)
    true = values.mean(axis=1).std()
    assert np.mean([cluster_robust_stderr(list(row), list(clusters)) for row in values]) == pytest.approx(true, rel=0.1)
    assert (values.std(axis=1, ddof=1) / math.sqrt(240)).mean() < 0.8 * true


def test_a_group_has_the_error_of_a_stratified_sample_of_clusters():
    """Two parts with clusters of their own: by size sqrt(sum of (N_p / I * se_p)^2), plainly sqrt(sum of se_p^2) / 2."""
    a, b = drawn(12), [3 + value for value in drawn(6)]
    of_a, of_b = [n // 3 for n in range(12)], [4 + n // 2 for n in range(6)]
    errors = cluster_robust_stderr(a, of_a), cluster_robust_stderr(b, of_b)
    parts = ["a"] * 12 + ["b"] * 6
    by_size = cluster_robust_stderr(a + b, of_a + of_b, parts)
    assert by_size == pytest.approx(math.hypot(12 / 18 * errors[0], 6 / 18 * errors[1]), rel=1e-12)
    plainly = cluster_robust_stderr(a + b, of_a + of_b, parts, equal_parts=True)
    assert plainly == pytest.approx(math.hypot(*errors) / 2, rel=1e-12)
    assert plainly == pytest.approx(metrics.unweighted_mean_stderr(errors), rel=1e-12)
    assert cluster_robust_stderr([1, 0, 1], [0, 1, 2], ["a", "a", "b"]) is None  # one cluster tells nothing of its part


def test_the_same_question_in_two_parts_is_one_cluster():
    """Two wordings of 10 questions, answered alike: the plain mean of the two has the error of one, not 1 / sqrt(2) of it."""
    values = drawn(10)
    both, clusters, parts = values * 2, [*range(10)] * 2, ["a"] * 10 + ["b"] * 10
    for found in (cluster_robust_stderr(both, clusters, parts, equal_parts=equal) for equal in (False, True)):
        assert found == pytest.approx(statistics.stdev(values) / math.sqrt(10), rel=1e-12)


# ---------------------------------------------------------------- metrics that are no mean over items


def test_a_metric_that_is_bootstrapped_redraws_whole_clusters():
    nats = [-8 * DRAWN.random() for _ in range(40)]
    items = [Item("t", n // 4, value) for n, value in enumerate(nats)]
    row = "perplexity", {"t": metrics.perplexity}, False, metrics.perplexity(nats), 300
    found = clustered_row_stderr(items, *row)
    clusters, generator = np.reshape(nats, (10, 4)), np.random.default_rng(0)
    redrawn = [metrics.perplexity(list(clusters[generator.integers(0, 10, 10)].ravel())) for _ in range(300)]
    assert found == pytest.approx(statistics.stdev(redrawn), rel=0.25)
    twice = [Item("t", n % 40, value) for n, value in enumerate(nats * 2)]
    alone = bootstrap_stderr(metrics.perplexity, nats, 300)
    assert clustered_row_stderr(twice, *row) == pytest.approx(alone, rel=1e-9), "the same draws"


def test_where_no_error_is_known_there_is_none():
    nats = [-value for value in drawn(8)]
    own = [Item("t", n // 2, value) for n, value in enumerate(nats)]
    assert clustered_row_stderr(own, "m", {"t": max}, False, max(nats), 100) is None  # a task's own aggregation
    across = [Item("ab"[n % 2], n // 2, value) for n, value in enumerate(nats)]
    perplexity = dict.fromkeys("abt", metrics.perplexity)
    assert clustered_row_stderr(across, "perplexity", perplexity, False, 1.0, 100) is None
    assert clustered_row_stderr(own[:2], "perplexity", perplexity, False, metrics.perplexity(nats[:2]), 100) is None
