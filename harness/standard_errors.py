"""Standard errors of lm-eval's metrics, computed in this process: lm-eval starts a pool of its own for those it bootstraps.

A pool cannot be opened inside the processes that play cells, and where it can it takes every core. The resamples are lm-eval's
own, from the same seeds, so the number is the one it gives for as many resamples. It gives none for perplexities per word or byte
and for the Brier score, whose error is a bootstrap here as well.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

from lm_eval import evaluator_utils
from lm_eval.api import metrics

CHUNK = 1000  # resamples per seed, as lm-eval has them
ALSO = (metrics.weighted_perplexity, metrics.bits_per_byte, metrics.brier_score)  # no mean, and lm-eval gives no error


def bootstrap_stderr(statistic: Callable[[Sequence[Any]], float], items: Sequence[Any], iters: int) -> float:
    """Standard deviation of a statistic over `iters` resamples of the items."""
    chunk = min(CHUNK, iters)
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a resample may lack a class, which some metrics remark upon
        for seed in range(iters // chunk):
            drawn = random.Random(seed)
            found += [statistic(drawn.choices(items, k=len(items))) for _ in range(chunk)]
    return metrics.sample_stddev(found)


def stderr_for_metric(metric: Any, bootstrap_iters: int) -> Callable[[Sequence[Any]], float] | None:
    """lm-eval's choice of an error for an aggregation, and a bootstrap for some that it leaves without."""
    if metric in ALSO and bootstrap_iters > 0:
        return lambda items: bootstrap_stderr(metric, items, bootstrap_iters)
    return _theirs(metric, bootstrap_iters)


_theirs = metrics.stderr_for_metric


@contextmanager
def computed_here() -> Iterator[None]:
    """While it lasts, lm-eval takes its standard errors from here."""
    with (
        mock.patch.object(metrics, "bootstrap_stderr", bootstrap_stderr),
        mock.patch.object(evaluator_utils, "stderr_for_metric", stderr_for_metric),
    ):
        yield
