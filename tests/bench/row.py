"""What a row of the speed table is: contestants that do the same work, the goal they are held to, and the limit beside it."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.bench.measure import seconds_of

BFLOAT16 = "harness, bfloat16 products"


@dataclass(frozen=True)
class Goal:
    """times: so many times as fast as the peer; share: at most this share of the peer's time; seconds: less than so many."""

    kind: Literal["times", "share", "seconds"]
    value: float

    def is_met(self, measured: float) -> bool:
        """measured: the median of peer / harness, of harness / peer, or of the harness's seconds."""
        if self.kind == "times":
            return measured >= self.value
        return measured <= self.value if self.kind == "share" else measured < self.value

    def __str__(self) -> str:
        if self.kind == "times":
            return f"≥ {self.value:g}"
        return f"≤ {self.value:g}" if self.kind == "share" else f"< {self.value:g} s"


@dataclass
class Outcome:
    """One contestant's run. seconds: None for the time of the call; amount: of what was made, where runs make different amounts.

    parts: seconds by part of the work, and whatever else a bound is computed from.
    """

    seconds: float | None = None
    amount: float = 1.0
    parts: dict[str, float] = field(default_factory=dict)


@dataclass
class Work:
    """A row made ready: everything that is loaded or built before the clock starts.

    contestants: the harness first, its peer last. sizes: what is worked on; numbers of other sizes are not mixed. bound: what
    limits.py computes the limit from. warm_up: run before the rounds and not counted; None: every contestant once. profiled: the
    harness's side on one thread, for the shares of its operators. check: raises where the two sides' results differ, before the
    first round.
    """

    contestants: dict[str, Callable[[], Outcome | None]]
    sizes: dict[str, Any]
    bound: dict[str, Any]
    unit: str = "s"
    warm_up: Callable[[], Any] | None = None
    profiled: Callable[[], Any] | None = None
    check: Callable[[], None] | None = None


@dataclass
class Situation:
    """Under which a row is measured. tried: by what a peer was tried with, the seconds of every size; kept by `save`."""

    mirror: Path | None = None
    tiny: bool = False
    tried: dict[str, dict[str, float]] = field(default_factory=dict)
    save: Callable[[], None] = lambda: None

    def best_size(self, what: str, sizes: Sequence[int], run: Callable[[int], Any]) -> int:
        """The size with the shortest run; each is tried once, after one that is not counted. Tiny: the first."""
        if self.tiny:
            return sizes[0]
        seconds = self.tried.setdefault(what, {})
        missing = [size for size in sizes if str(size) not in seconds]
        if missing:
            run(missing[0])
        for size in missing:
            seconds[str(size)] = round(seconds_of(lambda size=size: run(size)), 4)
            self.save()
        return min(sizes, key=lambda size: seconds[str(size)])


@dataclass(frozen=True)
class Row:
    """name: of its file; group: the line of README's short table; goals: by contestant; work: module of tests/bench/rows."""

    name: str
    group: str
    title: str
    peer: str
    goals: Mapping[str, Goal]
    work: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs_mirror: bool = False

    def prepare(self, situation: Situation) -> Work:
        module = importlib.import_module(f"tests.bench.rows.{self.work}")  # the libraries of a row are loaded with it
        return module.prepare(situation, **self.arguments)
