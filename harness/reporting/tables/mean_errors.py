"""Errors and intervals of means over tasks and seeds, from the item scores where a row has them.

Legend: S seeds. All seeds have the same items: the error of items is that of the items' means over seeds, the error of seeds that
of the seeds' means, and the variances add up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.analysis import stats
from harness.analysis.facts import RunResults
from harness.analysis.frames import select
from harness.analysis.item_errors import MIN_CLUSTERS, is_binary, item_uncertainties
from harness.analysis.score_scale import ScoreScale
from harness.analysis.stats import CONFIDENCE_LEVEL, Uncertainty
from harness.records import INITIAL
from harness.reporting.tables.paired_scores import ModelKey, PairedScores


def item_terms(
    paired_scores: PairedScores, model: ModelKey, seeds: Sequence[int], names: Sequence[str], binary: bool = True
) -> tuple[list[Uncertainty], bool]:
    """The terms of the error of sampling test items, of the plain mean over these rows, as shares where they are in the mean, and
    whether every row has enough items for an interval: from the item scores where a row has them, else from the recorded errors.

    A variance is NaN where no error is known. binary: whether, for an interval, right and wrong answers that are all equal are
    given the error of one being different, see `item_errors`."""
    terms: list[Uncertainty] = []
    has_enough_items = True
    for name in names:
        scale = paired_scores.results.scales[name]
        scale = scale if scale.in_mean else ScoreScale()  # its own unit
        if (item_scores := paired_scores.task_scores(model, seeds, name)) is not None:
            values = scale.to_unit(item_scores.values[0])
            terms += item_uncertainties(values, item_scores.layouts[0], binary and is_binary(values))
            has_enough_items &= item_scores.has_enough_items
        else:
            stderr, count = _recorded_stderr(paired_scores.results, model, seeds, name)
            terms.append(Uncertainty(scale.stderr_to_unit(stderr) ** 2, max(1, count - 1)))
            has_enough_items &= count >= MIN_CLUSTERS
    return [term.scaled(1 / len(names)) for term in terms], has_enough_items


def _recorded_stderr(results: RunResults, model: ModelKey, seeds: Sequence[int], name: str) -> tuple[float, int]:
    """Root mean square over seeds of the standard errors in scores.csv, and the number of items, or of clusters of items."""
    of_seeds = {} if model.objective == INITIAL else {"seed": list(seeds)}
    rows = select(results.scores, objective=model.objective, iteration=model.iteration, task=name, **of_seeds)
    count = rows["clusters"].fillna(rows["n"]).min()
    return float(np.sqrt((rows["stderr"].astype(float) ** 2).mean(skipna=False))), int(count)


def mean_interval(
    paired_scores: PairedScores,
    model: ModelKey,
    seeds: Sequence[int],
    names: Sequence[str],
    values: np.ndarray,
    level: float = CONFIDENCE_LEVEL,
) -> stats.Interval | None:
    """The interval of a mean over seeds and over these rows, items and seeds added up. values: (S,) the seeds' means.

    None below three seeds, below five items in a row, and where an error is not known.
    """
    if len(values) < stats.MIN_SEEDS_FOR_INTERVAL or np.isnan(values).any():
        return None
    terms, has_enough_items = item_terms(paired_scores, model, seeds, names)
    if not has_enough_items:
        return None
    return stats.interval(float(values.mean()), stats.sum_uncertainties([*terms, stats.seed_uncertainty(values)]), level)


def item_stderr(paired_scores: PairedScores, model: ModelKey, seeds: Sequence[int]) -> float:
    """Standard error of the mean over tasks from sampling items, as a share; NaN where a task has none."""
    names = [row["name"] for row in paired_scores.results.averaged_tasks]
    terms, _ = item_terms(paired_scores, model, seeds, names, binary=False)
    return float(np.sqrt(sum(term.variance for term in terms)))
