"""The players of a run as they are set against each other: what every item counted, and their means under common redraws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparison import Redrawn, Redraws
from harness.errors import UserError
from harness.facts import Facts
from harness.records import INITIAL, INITIAL_ITERATION


@dataclass(frozen=True)
class Player:
    """One side of a comparison: an objective after an iteration (the initial policy: -1)."""

    objective: str
    iteration: int


class Arena:
    """Players of one run under the same redraws, from a fixed seed, so that differences of differences are paired too."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._redraws: dict[tuple[int, ...], Redraws] = {}
        self._players: dict[tuple[Player, tuple[int, ...]], Redrawn] = {}

    def finished(self, player: Player, seed: int) -> bool:
        """Whether the player was evaluated in this seed (the initial policy is the same in every seed)."""
        return (player.objective, None if player.objective == INITIAL else seed, player.iteration) in self.facts.items

    def values(self, player: Player, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        """Task -> (S, I) what each item counted, without tasks that are not made of items.

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
            if all(m["values"] is not None for m in mine):
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
        """The player's means over these seeds in every redraw; None where a task of the suite is not made of items."""
        key = (player, tuple(seeds))
        if key not in self._players:
            tasks = list(self.values(player, seeds).values())
            if len(tasks) < len(self.facts.suite["task"]):
                return None
            shape = (len(seeds), *(t.shape[1] for t in tasks))
            if shape not in self._redraws:
                self._redraws[shape] = Redraws(shape[0], shape[1:], np.random.default_rng(0))
            self._players[key] = self._redraws[shape].of(tasks)
        return self._players[key]
