"""A number that is not finite where every number must be: the error that carries the examples, and the file they go to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.files import write_json

NAMED = 5  # examples that a message names; the file has all of them


@dataclass(frozen=True)
class Spoken:
    """One response with its log-probability, in nats, and the opponent's stored one; None where there is none."""

    role: str
    token_ids: Sequence[int]
    logp: float | None
    reference_logp: float | None = None


@dataclass
class Suspect:
    """One prompt among those a bad number came from. `numbers` are its own, by name; `number` is its place in what was asked."""

    number: int
    prompt_ids: Sequence[int]
    responses: Sequence[Spoken] = ()
    numbers: dict[str, float] = field(default_factory=dict)
    example_id: str = ""

    @property
    def bad(self) -> bool:
        """Whether one of its own numbers is not finite."""
        told = [*self.numbers.values(), *(v for r in self.responses for v in (r.logp, r.reference_logp) if v is not None)]
        return not all(map(math.isfinite, told))


class BadNumbers(RuntimeError):
    """Work that ended at a number that is not finite. `suspects`: the bad examples, or all; `facts`: numbers of the whole."""

    def __init__(self, message: str, suspects: Sequence[Suspect] = (), **facts: float) -> None:
        super().__init__(message)
        self.suspects, self.facts = list(suspects), facts


def names_of(suspects: Sequence[Suspect]) -> str:
    """The first few examples by name, or by their place where they have none."""
    names = [one.example_id or f"number {one.number}" for one in suspects]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


@contextmanager
def renumbered(numbers: Sequence[int]) -> Iterator[None]:
    """Within, the i-th of what is asked is number `numbers[i]` of a longer list."""
    try:
        yield
    except BadNumbers as error:
        for one in error.suspects:
            one.number = numbers[one.number]
        raise


@contextmanager
def naming(example_ids: Sequence[str]) -> Iterator[None]:
    """Within, the i-th of what is asked belongs to the example `example_ids[i]`."""
    try:
        yield
    except BadNumbers as error:
        for one in error.suspects:
            one.example_id = example_ids[one.number]
        error.args = (f"{error}: {names_of(error.suspects)}",)
        raise


@contextmanager
def written_out(root: Path, phase: str, player: str | None, decode: Callable[[list[int]], str]) -> Iterator[None]:
    """Within, bad numbers leave their examples in PHASE.failed.json below `root`, and the error's line names player and file.

    decode: token ids -> text. What an earlier attempt left there is gone once the phase is begun again.
    """
    path = root / f"{phase}.failed.json"
    path.unlink(missing_ok=True)
    try:
        yield
    except BadNumbers as error:
        whose = f"; player {player}" if player else ""
        where = f"; written out in {phase}.failed.json" if error.suspects else ""
        error.args = (f"{error}{whose}{where}",)
        if error.suspects:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, _evidence(error, phase, player, decode))
        raise


def _evidence(error: BadNumbers, phase: str, player: str | None, decode: Callable[[list[int]], str]) -> dict[str, Any]:
    def ids(tokens: Sequence[int]) -> dict[str, Any]:
        return {"text": decode(list(tokens)), "token_ids": list(tokens)}

    def row(one: Suspect) -> dict[str, Any]:
        return {
            "id": one.example_id,
            "bad": one.bad,
            **{name: spelled(value) for name, value in one.numbers.items()},
            "prompt": ids(one.prompt_ids),
            "responses": [
                {
                    "role": r.role,
                    "logp": spelled(r.logp),
                    "reference_logp": spelled(r.reference_logp),
                    **ids(r.token_ids),
                }
                for r in one.responses
            ],
        }

    return {
        "phase": phase,
        "player": player,
        "error": str(error),
        **{name: spelled(value) for name, value in error.facts.items()},
        "examples": [row(one) for one in sorted(error.suspects, key=lambda one: not one.bad)],
    }


def spelled(value: float | None) -> float | str | None:
    """JSON has no word for nan and inf: they are written as text."""
    return value if value is None or math.isfinite(value) else str(value)
