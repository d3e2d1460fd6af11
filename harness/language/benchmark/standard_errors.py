"""Standard errors of lm-eval's metrics, computed in this process: lm-eval starts a process pool for those it bootstraps.

A pool cannot be opened inside the worker processes that run trials, and elsewhere it takes every core. The resamples are
lm-eval's own, from the same seeds, so the number is the one it gives for as many resamples. It gives none for perplexities per
word or byte and for the Brier score, whose error is a bootstrap here as well.

Where a suite names a row's clusters, clusters are resampled: a mean over items has the cluster-robust error, any other metric
that has an error at all a bootstrap over whole clusters.
"""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from lm_eval.api import metrics

from harness.analysis.clusters import cluster_robust_stderr
from harness.language.benchmark.lm_eval_internals import replace_stderr

RESAMPLES_PER_SEED = 1000  # as lm-eval has them
SLOW_METRICS = {"bleu", "chrf", "chrf++", "ter"}  # for which lm-eval takes fewer resamples
SLOW_ITERATIONS = 100
# No means, and lm-eval gives no error.
BOOTSTRAPPED_HERE = (metrics.weighted_perplexity, metrics.bits_per_byte, metrics.brier_score)
_lm_eval_stderr_for_metric = metrics.stderr_for_metric


def bootstrap_stderr(statistic: Callable[[Sequence[Any]], float], items: Sequence[Any], iters: int) -> float:
    """Standard deviation of a statistic over `iters` resamples of the items."""
    chunk = min(RESAMPLES_PER_SEED, iters)
    estimates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample may lack a class, of which some metrics warn
        for seed in range(iters // chunk):
            estimates += [statistic(resample) for resample in itertools.islice(resamples(items, seed), chunk)]
    return metrics.sample_stddev(estimates)


def resamples(items: Sequence[Any], seed: int) -> Iterator[list[Any]]:
    """What `random.Random(seed).choices(items, k=len(items))` gives again and again, drawn by numpy's copy of that generator."""
    _, state, _ = random.Random(seed).getstate()
    generator = np.random.RandomState()
    generator.set_state(("MT19937", np.array(state[:-1], dtype=np.uint32), state[-1], 0, 0.0))
    while True:
        indices = (generator.random_sample(len(items)) * len(items)).astype(np.int64)
        yield [items[i] for i in indices.tolist()]


def stderr_for_metric(metric: Any, bootstrap_iters: int) -> Callable[[Sequence[Any]], float] | None:
    """lm-eval's choice of an error for an aggregation, and a bootstrap for some that have none there."""
    if metric in BOOTSTRAPPED_HERE and bootstrap_iters > 0:
        return lambda items: bootstrap_stderr(metric, items, bootstrap_iters)
    return _lm_eval_stderr_for_metric(metric, bootstrap_iters)


@dataclass(frozen=True)
class Item:
    """One item's value, in the form its metric's aggregation takes, with its lm-eval task and its cluster."""

    task: str
    cluster: int
    value: Any


def clustered_row_stderr(
    items: Sequence[Item], metric: str, aggregations: Mapping[str, Any], equal_tasks: bool, score: float, iters: int
) -> float | None:
    """The standard error of a row whose items come in clusters; None where it cannot be estimated.

    aggregations: of the metric, by lm-eval task; several are a group's. equal_tasks: whether these have the same weight whatever
    their size. Where the score is the mean over items, or a group's mean of its tasks', the error is cluster-robust. Otherwise
    clusters are resampled, task by task, where lm-eval bootstraps (neither lm-eval nor this file has an error for an aggregation
    of a task's own); where a cluster spans several tasks of a group the error is then unknown.
    """
    tasks = [item.task for item in items]
    scalars = [item.value.item() if getattr(item.value, "shape", None) == () else item.value for item in items]  # of numpy
    if all(isinstance(value, (bool, int, float)) for value in scalars):
        values = [float(value) for value in scalars]
        if math.isclose(_mean(values, tasks, equal_tasks), score, rel_tol=1e-6, abs_tol=1e-9):
            return cluster_robust_stderr(values, [item.cluster for item in items], tasks, equal_tasks)
    by_task: dict[str, dict[int, list[Any]]] = {task: {} for task in dict.fromkeys(tasks)}
    for item in items:
        by_task[item.task].setdefault(item.cluster, []).append(item.value)
    if sum(map(len, by_task.values())) > len({item.cluster for item in items}):
        return None
    iters = min(iters, SLOW_ITERATIONS) if metric in SLOW_METRICS else iters
    squares = []
    for task, clusters in by_task.items():
        aggregation = aggregations.get(task)
        if len(clusters) < 2 or aggregation is None or stderr_for_metric(aggregation, iters) is None:
            return None
        stderr = cluster_bootstrap_stderr(aggregation, list(clusters.values()), iters)
        weight = 1 / len(by_task) if equal_tasks else sum(map(len, clusters.values())) / len(items)
        squares.append((weight * stderr) ** 2)
    return math.sqrt(math.fsum(squares)) if squares else None


def cluster_bootstrap_stderr(statistic: Callable[[Sequence[Any]], float], clusters: Sequence[Sequence[Any]], iters: int) -> float:
    """Standard deviation of a statistic over `iters` resamples of whole clusters of items."""
    return bootstrap_stderr(lambda resample: statistic(list(chain.from_iterable(resample))), clusters, iters)


def _mean(values: Sequence[float], tasks: Sequence[str], equal_tasks: bool) -> float:
    """The mean over items, or with `equal_tasks` the plain mean of the tasks' means."""
    sizes = Counter(tasks)
    shares = [value / sizes[task] for value, task in zip(values, tasks, strict=True)] if equal_tasks else values
    return math.fsum(shares) / (len(sizes) if equal_tasks else len(values))


def override_lm_eval_stderr() -> AbstractContextManager[None]:
    """Within it lm-eval takes its standard errors from this file."""
    return replace_stderr(bootstrap_stderr, stderr_for_metric)
