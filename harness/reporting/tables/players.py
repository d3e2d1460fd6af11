"""The players of a run as they are set against each other: what every item counted, and the errors of their means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis.comparison import Answered
from harness.analysis.facts import Facts
from harness.analysis.item_errors import Layout, mean_of
from harness.errors import UserError
from harness.records import INITIAL, INITIAL_ITERATION


@dataclass(frozen=True)
class Player:
    """One side of a comparison: an objective after an iteration (the initial policy: -1)."""

    objective: str
    iteration: int


class Arena:
    """Players of one run, each read once.

    A row is paired when it is made of items for every player of the run: when the mean of what its items counted is its score. A
    corpus metric (BLEU, F1, a perplexity) is not.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._layouts: dict[str, Layout] = {}
        self._players: dict[tuple[Player, tuple[int, ...]], Answered] = {}

    @cached_property
    def paired(self) -> list[str]:
        """The rows that are made of items, in the suite's order; none where no items are kept (analysis/earlier_tables.py)."""
        if not self.facts.items:
            return []
        table = self.facts.scores
        places = zip(table["objective"], table["seed"], table["iteration"], strict=True)
        keys = [(o, None if pd.isna(s) else int(s), int(t)) for o, s, t in places]
        scores = {(*key, task): value for key, task, value in zip(keys, table["task"], table["value"], strict=True)}
        loose = set()
        for (objective, seed, iteration), player in self.facts.items.items():
            for name, one in player.items():
                if one["values"] is None:
                    loose.add(name)
                    continue
                numbers = self._numbers(Player(objective, iteration), name, one["values"])
                score = scores.get((objective, seed, iteration, name))
                if score is not None and not np.isnan(score) and not _makes(numbers, self._laid_out(name, one), score):
                    loose.add(name)
        return [row["name"] for row in self.facts.suite["task"] if row["name"] not in loose]

    def _laid_out(self, name: str, one: Mapping[str, Any]) -> Layout:
        """The parts and clusters that items.json gives a row. Raises UserError where they do not fit the items."""
        count = len(one["values"])
        parts, ids = tuple(one.get("parts") or (count,)), one.get("clusters")
        kept = self._layouts.get(name)
        if kept and kept.items == count and kept.parts == parts and (ids is None) == (kept.clusters is None):
            return kept  # which clusters there are follows from the items, whose hashes are compared
        if ids is not None and len(ids) != count:
            raise UserError(
                f"{self.facts.root}: items.json: {name} has {count} values and {len(ids)} clusters; delete that evaluation's "
                "folder and repeat the run's command"
            )
        numbers = {key: number for number, key in enumerate(dict.fromkeys(map(str, ids or ())))}
        self._layouts[name] = Layout(parts, None if ids is None else tuple(numbers[str(key)] for key in ids))
        return self._layouts[name]

    def layout(self, name: str) -> Layout:
        """The sizes of a paired row's parts, several in a group that weighs its tasks equally, and its clusters of items."""
        return self._laid_out(name, next(player[name] for player in self.facts.items.values()))

    def finished(self, player: Player, seed: int) -> bool:
        """Whether the player was evaluated in this seed (the initial policy is the same in every seed)."""
        return (player.objective, None if player.objective == INITIAL else seed, player.iteration) in self.facts.items

    def values(self, player: Player, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Paired row -> (S, I) what each item counted.

        Raises UserError when items were asked differently than of the initial policy, for such players cannot be paired, or when
        an item has no number.
        """
        asked = self.facts.items.get((INITIAL, None, INITIAL_ITERATION))
        cells = [None if player.objective == INITIAL else seed for seed in seeds]
        found: dict[str, np.ndarray] = {}
        for task in (row["name"] for row in self.facts.suite["task"]):
            mine = [self.facts.items[player.objective, cell, player.iteration][task] for cell in cells]
            if len({m["items"] for m in mine} | ({asked[task]["items"]} if asked else set())) > 1:
                raise UserError(
                    f"{self.facts.root}: {task} was asked with unequal items of {player.objective} and the initial policy; "
                    "evaluate both on the same suite version"
                )
            if task in self.paired:
                found[task] = self._numbers(player, task, [m["values"] for m in mine])
        return found

    def _numbers(self, player: Player, task: str, values: Sequence[Sequence[float]]) -> np.ndarray:
        try:
            numbers = np.array(values, dtype=float)
        except (TypeError, ValueError):
            numbers = np.array([np.nan])
        if np.isnan(numbers).any():
            raise UserError(
                f"{self.facts.root}: items.json of {player.objective}, iteration {player.iteration}: {task} has an item without "
                "a number; delete that evaluation's folder and repeat the run's command"
            )
        return numbers

    def answered(self, player: Player, seeds: Sequence[int]) -> Answered | None:
        """The player's counted rows over these seeds, as shares; None where one of them is not paired, for a mean over some of
        the tasks is not the leaderboard's mean, where none is counted, and where the items are not kept."""
        rows = [row["name"] for row in self.facts.counted]
        if not rows or not set(rows) <= set(self.paired) or not all(self.finished(player, seed) for seed in seeds):
            return None
        numbers = [self.paired.index(name) for name in rows]
        return self._all(player, seeds).mapped(numbers, [self.facts.scales[name].share for name in rows])

    def row(self, player: Player, seeds: Sequence[int], name: str) -> Answered | None:
        """One row of the suite in its own unit; None where it is not paired, or its items are not kept."""
        if name not in self.paired or not all(self.finished(player, seed) for seed in seeds):
            return None
        return self._all(player, seeds).task(self.paired.index(name))

    def _all(self, player: Player, seeds: Sequence[int]) -> Answered:
        """Every paired row, in its own unit."""
        key = (player, tuple(seeds))
        if key not in self._players:
            values = self.values(player, seeds)
            self._players[key] = Answered(tuple(values.values()), tuple(self.layout(name) for name in values))
        return self._players[key]


def _makes(numbers: np.ndarray, layout: Layout, score: float) -> bool:
    """Whether the items' mean is the score, to rounding."""
    return layout.items == numbers.size and math.isclose(mean_of(numbers, layout.parts), score, rel_tol=1e-6, abs_tol=1e-9)
