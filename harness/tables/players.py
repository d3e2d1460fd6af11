"""The players of a run as they are set against each other: what every item counted, and their means under common redraws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness.comparison import Parts, Redrawn, Redraws, mean_of
from harness.errors import UserError
from harness.facts import Facts
from harness.records import INITIAL, INITIAL_ITERATION


@dataclass(frozen=True)
class Player:
    """One side of a comparison: an objective after an iteration (the initial policy: -1)."""

    objective: str
    iteration: int


class Arena:
    """Players of one run under the same redraws, from a fixed seed, so that differences of differences are paired too.

    A row is paired when it is made of items for every player of the run: when the mean of what its items counted is its score. A
    corpus metric (BLEU, F1, a perplexity) is not.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._redraws: dict[tuple[Any, ...], Redraws] = {}
        self._players: dict[tuple[Player, tuple[int, ...]], Redrawn] = {}

    @cached_property
    def paired(self) -> list[str]:
        """The rows that are made of items, in the suite's order."""
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
                if score is not None and not np.isnan(score) and not _makes(numbers, self._parts(one), score):
                    loose.add(name)
        return [row["name"] for row in self.facts.suite["task"] if row["name"] not in loose]

    def _parts(self, one: Mapping[str, Any]) -> Parts:
        return tuple(one.get("parts") or (len(one["values"]),))

    def parts(self, name: str) -> Parts:
        """The numbers of items of a paired row's parts: several in a group that weighs its tasks equally whatever their size."""
        return self._parts(next(player[name] for player in self.facts.items.values()))

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

    def redrawn(self, player: Player, seeds: Sequence[int]) -> Redrawn | None:
        """The player's counted rows over these seeds in every redraw, as shares; None where one of them is not paired, for a mean
        over some of the tasks is not the leaderboard's mean, and where none is counted."""
        rows = [row["name"] for row in self.facts.counted]
        if not rows or not set(rows) <= set(self.paired):
            return None
        numbers = [self.paired.index(name) for name in rows]
        return self._all(player, seeds).mapped(numbers, [self.facts.scales[name].share for name in rows])

    def row(self, player: Player, seeds: Sequence[int], name: str) -> Redrawn | None:
        """One row of the suite in its own unit; None where it is not paired."""
        return self._all(player, seeds).task(self.paired.index(name)) if name in self.paired else None

    def _all(self, player: Player, seeds: Sequence[int]) -> Redrawn:
        """Every paired row, in its own unit."""
        key = (player, tuple(seeds))
        if key not in self._players:
            values = self.values(player, seeds)
            shape = (len(seeds), *(self.parts(name) for name in values))
            if shape not in self._redraws:
                self._redraws[shape] = Redraws(shape[0], shape[1:], np.random.default_rng(0))
            self._players[key] = self._redraws[shape].of(list(values.values()))
        return self._players[key]


def _makes(numbers: np.ndarray, parts: Parts, score: float) -> bool:
    """Whether the items' mean is the score, to rounding."""
    return sum(parts) == numbers.size and math.isclose(mean_of(numbers, parts), score, rel_tol=1e-6, abs_tol=1e-9)
