"""The error of sampling test items, of a score or a difference, by task, by part, by cluster.

Legend: S seeds, I items of a task, G clusters of a part, n its items.

A task may consist of parts, given as their numbers of items in order: a group whose score is the plain mean of its tasks'
whatever their sizes. Items that share a question (paraphrases, statements about one text) are one cluster: they are sampled
together, so the sums of clusters are independent, not the items.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.analysis.stats import Uncertainty, tied

MIN_CLUSTERS = 5  # with fewer in a part no interval and no p is given
VARIANCE_ROUNDING = 1e-18  # a variance below this is the rounding of sums: one answer of a million in one of ten seeds is 1e-14
PartSizes = tuple[int, ...]  # numbers of items of a task's parts; a task without parts has one


@dataclass(frozen=True)
class ItemLayout:
    """A task's items: the sizes of its parts, and for every item the id of its cluster, or None where each is its own."""

    parts: PartSizes
    clusters: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.clusters is not None and len(self.clusters) != self.items:
            raise ValueError(f"{len(self.clusters)} cluster ids for {self.items} items")

    @property
    def items(self) -> int:
        return sum(self.parts)

    @cached_property
    def cluster_ids(self) -> list[np.ndarray]:
        """(n,) per part: the index of an item's cluster within the part, from 0."""
        item_clusters = np.arange(self.items) if self.clusters is None else np.asarray(self.clusters)
        return [np.unique(part, return_inverse=True)[1] for part in split_parts(item_clusters, self.parts)]

    @cached_property
    def cluster_counts(self) -> list[int]:
        """Number of clusters of every part."""
        return [int(ids.max()) + 1 if ids.size else 0 for ids in self.cluster_ids]

    def cluster_sums(self, values: np.ndarray) -> list[np.ndarray]:
        """(..., I) -> per part (..., G), the sums over clusters."""
        values_by_part = split_parts(values, self.parts)
        return [
            part_values if count == ids.size else _sum_by_cluster(part_values, ids, count)
            for part_values, ids, count in zip(values_by_part, self.cluster_ids, self.cluster_counts, strict=True)
        ]


def _sum_by_cluster(values: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """(..., n), (n,) -> (..., count)."""
    return np.add.reduceat(values[..., np.argsort(ids, kind="stable")], np.searchsorted(np.sort(ids), np.arange(count)), axis=-1)


def split_parts(values: np.ndarray, parts: PartSizes) -> list[np.ndarray]:
    """(..., I) -> one array (..., n) per part."""
    return [values] if len(parts) == 1 else np.split(values, np.cumsum(parts)[:-1], axis=-1)


def task_means(values: np.ndarray, parts: PartSizes) -> np.ndarray:
    """(..., I) -> (...) the task's mean: the plain mean of its parts' means."""
    means = [part.mean(axis=-1) for part in split_parts(values, parts)]
    return means[0] if len(means) == 1 else np.mean(means, axis=0)


def overall_mean(values: np.ndarray, parts: PartSizes) -> float:
    """(S, I) or (I,) -> the task's mean over all."""
    return float(task_means(values, parts).mean())


def cluster_shares(values: np.ndarray, layout: ItemLayout) -> list[np.ndarray]:
    """(..., I) -> per part (..., G): each cluster's share in the deviation of the task's mean. The sum of their squares is the
    mean's variance: G / (G - 1) * sum over clusters of (sum of deviations)^2 / n^2, divided by the number of parts squared."""
    centred = np.concatenate([p - p.mean(axis=-1, keepdims=True) for p in split_parts(values, layout.parts)], axis=-1)
    return [
        np.sqrt(count / (count - 1)) / (size * len(layout.parts)) * sums if count > 1 else np.full_like(sums, np.nan)
        for sums, count, size in zip(layout.cluster_sums(centred), layout.cluster_counts, layout.parts, strict=True)
    ]


def item_uncertainties(values: np.ndarray, layout: ItemLayout, binary: bool = False) -> list[Uncertainty]:
    """(S, I) item scores, or differences of two models' -> one uncertainty per part, which add up to that of the task's mean over
    these seeds. The variance over seeds is not included.

    binary: the values are right (1) and wrong (0), or differences of such, and an interval is wanted. Where all of a part are
    then equal, the variance is that of one cluster being different, 1 / G^2: no observed variation does not mean that there is
    none. NaN for a part of one cluster.
    """
    uncertainties = []
    for part_shares, count in zip(cluster_shares(values.mean(axis=0), layout), layout.cluster_counts, strict=True):
        variance = float((part_shares**2).sum())
        if binary and count > 1 and variance < VARIANCE_ROUNDING:
            variance = 1 / (count * len(layout.parts)) ** 2
        uncertainties.append(Uncertainty(variance, count - 1))
    return uncertainties


def is_binary(values: np.ndarray) -> bool:
    """Whether there are only right (1) and wrong (0) answers."""
    return bool(np.isin(values, (0, 1)).all())


def num_differing_clusters(differences: np.ndarray, layout: ItemLayout) -> int:
    """(S, I) differences -> number of clusters whose sum over items and seeds is not 0: the trials of a sign test."""
    return sum(int((~tied(sums, 0.0)).sum()) for sums in layout.cluster_sums(differences.sum(axis=0)))
