"""Clusters of items that share a question, a document or a passage: their indices, and cluster-robust standard errors.

Legend: I items, G clusters, P parts (the lm-eval tasks behind a row), N_p items of a part.

A standard error over items assumes that they are independent; answers to paraphrases of one question, or to questions about one
text, are not, and the error of their mean is then too small. Clusters are the sampling unit: the error is that of their sums.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from harness.analysis.plain_values import is_blank, plain
from harness.errors import UserError, did_you_mean


def value_key(value: Any) -> str | None:
    """A document's value as a text that is the same for equal values; None where it is missing, blank or NaN."""
    if is_blank(value) or (isinstance(value, float) and math.isnan(value)):
        return None
    return json.dumps(value, sort_keys=True, default=str)


def column_key(doc: Any, column: str, where: str, what: str, hint: str = "") -> str:
    """The key of a document's column. Raises UserError where the column is missing or blank; what: which document."""
    columns = sorted(map(str, doc)) if isinstance(doc, Mapping) else []
    if column not in columns:
        raise UserError(f"{where}: {what} has no such column{did_you_mean(column, columns)}{hint}")
    if (key := value_key(plain(doc[column]))) is None:
        raise UserError(f"{where}: {what} has nothing in it; fill it, or name another column")
    return key


def check_several_clusters(keys: Sequence[Hashable], where: str) -> None:
    """Raises UserError where all items are one cluster, so that the mean has no standard error."""
    if len(keys) > 1 and len(set(keys)) == 1:
        raise UserError(f"{where}: all {len(keys)} items are one cluster; name a column that tells questions apart")


def number_clusters(keys: Sequence[Hashable]) -> list[int]:
    """The cluster index of every item, from 0 in the order of first appearance."""
    indices: dict[Hashable, int] = {}
    return [indices.setdefault(key, len(indices)) for key in keys]


def cluster_robust_stderr(
    values: Sequence[float], clusters: Sequence[int], parts: Sequence[Hashable] | None = None, equal_parts: bool = False
) -> float | None:
    """Standard error of a mean over items that come in clusters; None below two clusters (of a stratum).

    values, clusters, parts: one per item. sqrt(G / (G - 1) * sum over clusters of (sum of the items' deviations from the mean)^2)
    / I, the cluster-robust error of a mean (Liang and Zeger 1986, with the usual correction for few clusters); with every item
    a cluster of its own it is the standard deviation (n - 1) over sqrt(I).

    parts: the row is a group, whose score is the mean of its parts' means, weighted by size or with `equal_parts` equally.
    Deviations are then from the part's mean, and the correction is that of every stratum by itself (the error of a stratified
    sample of clusters). A stratum is a part, or several where clusters span them.
    """
    if len(set(clusters)) < 2:
        return None
    labels = [None] * len(values) if parts is None else parts
    by_part = _group(labels, map(float, values))
    means = {part: math.fsum(of_part) / len(of_part) for part, of_part in by_part.items()}
    weights = {part: 1 / (len(by_part) * len(of_part)) if equal_parts else 1 / len(values) for part, of_part in by_part.items()}
    deviations = (weights[part] * (float(value) - means[part]) for value, part in zip(values, labels, strict=True))
    squares = [math.fsum(of_cluster) ** 2 for of_cluster in _group(clusters, deviations).values()]
    strata = _group(_strata(labels, clusters), squares).values()
    if min(map(len, strata)) < 2:
        return None
    return math.sqrt(math.fsum(len(stratum) / (len(stratum) - 1) * math.fsum(stratum) for stratum in strata))


def _group(keys: Iterable[Hashable], values: Iterable[float]) -> dict[Hashable, list[float]]:
    groups: dict[Hashable, list[float]] = {}
    for key, value in zip(keys, values, strict=True):
        groups.setdefault(key, []).append(value)
    return groups


def _strata(parts: Sequence[Hashable], clusters: Sequence[int]) -> list[int]:
    """The stratum of every cluster, in order of first appearance: parts that share a cluster are one."""
    of_part, of_cluster = number_clusters(parts), number_clusters(clusters)
    size = max(of_part) + max(of_cluster) + 2
    links = coo_array((np.ones(len(parts)), (of_part, np.add(of_cluster, max(of_part) + 1))), shape=(size, size))
    return connected_components(links, directed=False)[1][max(of_part) + 1 :].tolist()


def effective_sample_size(clusters: Sequence[int]) -> float:
    """The number of independent items with the same error of a mean if all answers of a cluster agree: I^2 / sum of sizes^2."""
    return len(clusters) ** 2 / sum(size**2 for size in Counter(clusters).values())
