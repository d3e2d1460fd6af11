"""Items that share a question, a document or a passage are one cluster: their numbers, and errors that count them as one.

Legend: I items, G clusters, P parts (the lm-eval tasks behind a row), N_p items of a part.

A standard error over items takes them as independent; answers to paraphrases of one question, or to questions about one text, are
not, and the error of their mean is then too small. Clusters are what is drawn: the error is that of the sums over clusters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from harness.analysis.plain_values import is_blank, plain
from harness.errors import UserError, did_you_mean


def key_of(value: Any) -> str | None:
    """A document's value as a text that is the same for equal values; None where it says nothing (missing, blank, NaN)."""
    if is_blank(value) or (isinstance(value, float) and math.isnan(value)):
        return None
    return json.dumps(value, sort_keys=True, default=str)


def column_key(doc: Any, column: str, where: str, what: str, hint: str = "") -> str:
    """The key of a document's column. Raises UserError where there is none or nothing in it; what: which document."""
    columns = sorted(map(str, doc)) if isinstance(doc, Mapping) else []
    if column not in columns:
        raise UserError(f"{where}: {what} has no such column{did_you_mean(column, columns)}{hint}")
    if (key := key_of(plain(doc[column]))) is None:
        raise UserError(f"{where}: {what} has nothing in it; fill it, or name another column")
    return key


def refuse_one_cluster(keys: Sequence[Hashable], where: str) -> None:
    """Raises UserError where all items are one cluster, of whose mean no error can be known."""
    if len(keys) > 1 and len(set(keys)) == 1:
        raise UserError(f"{where}: all {len(keys)} items are one cluster; name a column that tells questions apart")


def numbered(keys: Sequence[Hashable]) -> list[int]:
    """The cluster of every item, counted from 0 in the order of first appearance."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def clustered_stderr(
    values: Sequence[float], clusters: Sequence[int], parts: Sequence[Hashable] | None = None, equal_parts: bool = False
) -> float | None:
    """Standard error of a mean over items that come in clusters; None where it cannot be known, below two clusters.

    values, clusters, parts: one per item. sqrt(G / (G - 1) * sum over clusters of (sum of the items' deviations from the mean)^2)
    / I, the cluster-robust error of a mean (Liang and Zeger 1986, with the usual correction for few clusters); with every item
    a cluster of its own it is the standard deviation (n - 1) over sqrt(I).

    parts: the row is a group, whose score is the mean of its parts' means, weighted by size or with `equal_parts` plainly. What
    deviates is then the item from its part's mean, and the correction is that of every stratum by itself (the error of a
    stratified sample of clusters). A stratum is a part, or several where clusters reach from one into another.
    """
    if len(set(clusters)) < 2:
        return None
    labels = [None] * len(values) if parts is None else list(parts)
    members: dict[Hashable, list[float]] = {}
    for value, part in zip(values, labels, strict=True):
        members.setdefault(part, []).append(float(value))
    centre = {part: math.fsum(mine) / len(mine) for part, mine in members.items()}
    weight = {part: 1 / (len(members) * len(mine)) if equal_parts else 1 / len(values) for part, mine in members.items()}
    sums: dict[int, list[float]] = {}
    for value, part, cluster in zip(values, labels, clusters, strict=True):
        sums.setdefault(cluster, []).append(weight[part] * (float(value) - centre[part]))
    variances = []
    for stratum in _strata(labels, clusters):
        squares = [math.fsum(sums[cluster]) ** 2 for cluster in stratum]
        if len(squares) < 2:
            return None
        variances.append(len(squares) / (len(squares) - 1) * math.fsum(squares))
    return math.sqrt(math.fsum(variances))


def _strata(parts: Sequence[Hashable], clusters: Sequence[int]) -> list[list[int]]:
    """The clusters by stratum: parts that share a cluster are one."""
    first: dict[int, Hashable] = {}  # cluster -> a part of it
    joined: dict[Hashable, Hashable] = {part: part for part in parts}

    def root(part: Hashable) -> Hashable:
        while joined[part] != part:
            part = joined[part]
        return part

    for part, cluster in zip(parts, clusters, strict=True):
        joined[root(part)] = root(first.setdefault(cluster, part))
    found: dict[Hashable, list[int]] = {}
    for cluster, part in first.items():
        found.setdefault(root(part), []).append(cluster)
    return list(found.values())


def effective_items(clusters: Sequence[int]) -> float:
    """How many independent items tell as much about a mean if all of a cluster is answered alike: I^2 / sum of sizes squared."""
    sizes: dict[int, int] = {}
    for cluster in clusters:
        sizes[cluster] = sizes.get(cluster, 0) + 1
    return len(clusters) ** 2 / sum(size**2 for size in sizes.values())
