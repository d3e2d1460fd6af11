"""Item scores of a run's models for paired comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.comparison import ItemScores
from harness.analysis.facts import RunResults
from harness.analysis.item_errors import ItemLayout, overall_mean
from harness.errors import UserError
from harness.records import INITIAL, INITIAL_ITERATION


@dataclass(frozen=True)
class ModelKey:
    """One side of a comparison: an objective after an iteration (the initial policy: -1)."""

    objective: str
    iteration: int


class PairedScores:
    """Item scores of every model of one run, each read once.

    A row is paired when, for every model of the run, the mean of its item scores is its score. A corpus metric (BLEU, F1, a
    perplexity) is not.
    """

    def __init__(self, results: RunResults) -> None:
        self.results = results
        self._layouts: dict[str, ItemLayout] = {}
        self._values: dict[tuple[ModelKey, tuple[int, ...]], dict[str, np.ndarray]] = {}

    @cached_property
    def paired_tasks(self) -> list[str]:
        """The paired rows in the suite's order; none where no item scores are left (analysis/earlier_tables.py)."""
        if not self.results.item_scores:
            return []
        table = self.results.scores
        columns = (table[name] for name in ("objective", "seed", "iteration", "task", "value"))
        rows = zip(*columns, strict=True)
        scores = {(o, None if pd.isna(s) else int(s), int(t), task): value for o, s, t, task, value in rows if not pd.isna(value)}
        unpaired = set()
        for key, items_by_task in self.results.item_scores.items():
            for name, item in items_by_task.items():
                if item["values"] is None:
                    unpaired.add(name)
                    continue
                values = self._to_array(ModelKey(key[0], key[2]), name, item["values"])
                if (*key, name) in scores and not _mean_is_score(values, self._layout_of(name, item), scores[*key, name]):
                    unpaired.add(name)
        return [row["name"] for row in self.results.suite["task"] if row["name"] not in unpaired]

    def _layout_of(self, name: str, item: Mapping[str, Any]) -> ItemLayout:
        """The parts and clusters that items.json gives a row. Raises UserError where they do not fit the items."""
        count = len(item["values"])
        parts, ids = tuple(item.get("parts") or (count,)), item.get("clusters")
        cached = self._layouts.get(name)
        if cached and cached.items == count and cached.parts == parts and (ids is None) == (cached.clusters is None):
            return cached  # the clusters follow from the items, whose digests are compared
        if ids is not None and len(ids) != count:
            raise UserError(
                f"{self.results.root}: items.json: {name} has {count} values and {len(ids)} clusters; delete that evaluation's "
                "folder and repeat the run's command"
            )
        numbers = {key: number for number, key in enumerate(dict.fromkeys(map(str, ids or ())))}
        self._layouts[name] = ItemLayout(parts, None if ids is None else tuple(numbers[str(key)] for key in ids))
        return self._layouts[name]

    def layout(self, name: str) -> ItemLayout:
        """The sizes of a paired row's parts, several in a group that weighs its tasks equally, and its clusters of items."""
        return self._layout_of(name, next(iter(self.results.item_scores.values()))[name])

    def is_finished(self, model: ModelKey, seed: int) -> bool:
        """Whether the model was evaluated in this seed (the initial policy is the same in every seed)."""
        return (model.objective, None if model.objective == INITIAL else seed, model.iteration) in self.results.item_scores

    def finished_seeds(self, *models: ModelKey) -> list[int]:
        return [seed for seed in self.results.record["seeds"] if all(self.is_finished(model, seed) for model in models)]

    def item_values(self, model: ModelKey, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Paired row -> (S, I) item scores. UserError where items differ from the initial policy's, or one has no number."""
        key = model, tuple(seeds)
        if key in self._values:
            return self._values[key]
        initial_items = self.results.item_scores.get((INITIAL, None, INITIAL_ITERATION))
        seed_keys = [None if model.objective == INITIAL else seed for seed in seeds]
        values_by_task: dict[str, np.ndarray] = {}
        for task in (row["name"] for row in self.results.suite["task"]):
            seed_items = [self.results.item_scores[model.objective, seed, model.iteration][task] for seed in seed_keys]
            if len({m["items"] for m in seed_items} | ({initial_items[task]["items"]} if initial_items else set())) > 1:
                raise UserError(
                    f"{self.results.root}: {task} was evaluated on different items for {model.objective} and the initial policy; "
                    "evaluate both on the same suite version"
                )
            if task in self.paired_tasks:
                values_by_task[task] = self._to_array(model, task, [m["values"] for m in seed_items])
        return self._values.setdefault(key, values_by_task)

    def _to_array(self, model: ModelKey, task: str, values: Sequence[Sequence[float]]) -> np.ndarray:
        try:
            numbers = np.array(values, dtype=float)
        except (TypeError, ValueError):
            numbers = np.array([np.nan])
        if np.isnan(numbers).any():
            raise UserError(
                f"{self.results.root}: items.json of {model.objective}, iteration {model.iteration}: {task} has an item without "
                "a number; delete that evaluation's folder and repeat the run's command"
            )
        return numbers

    def averaged_scores(self, model: ModelKey, seeds: Sequence[int], names: Sequence[str] | None = None) -> ItemScores | None:
        """The model's averaged rows over these seeds, as shares; None where one of them is not paired (a mean over some of the
        tasks is not the leaderboard's mean), where there is none, and where item scores are missing. names: of rows, all of them
        averaged ones; left out: all of these."""
        rows = [row["name"] for row in self.results.averaged_tasks] if names is None else names
        if not rows or not all(self._is_paired(model, seeds, name) for name in rows):
            return None
        values = self.item_values(model, seeds)
        shares = tuple(self.results.scales[name].to_unit(values[name]) for name in rows)
        return ItemScores(shares, tuple(self.layout(name) for name in rows))

    def task_scores(self, model: ModelKey, seeds: Sequence[int], name: str) -> ItemScores | None:
        """One row of the suite in its own unit; None where it is not paired, or its item scores are missing."""
        if not self._is_paired(model, seeds, name):
            return None
        return ItemScores((self.item_values(model, seeds)[name],), (self.layout(name),))

    def _is_paired(self, model: ModelKey, seeds: Sequence[int], name: str) -> bool:
        return name in self.paired_tasks and all(self.is_finished(model, seed) for seed in seeds)


def _mean_is_score(values: np.ndarray, layout: ItemLayout, score: float) -> bool:
    """Whether the mean of the item scores is the score, to rounding."""
    return layout.items == values.size and math.isclose(overall_mean(values, layout.parts), score, rel_tol=1e-6, abs_tol=1e-9)
