"""A row of the speed table whose contestants take the seconds that they are told to, and which can be stopped in the middle."""

from collections.abc import Callable
from typing import Any

from tests.bench.row import Goal, Outcome, Row, Situation, Work

IDENTITY = {"processor": "a processor", "cores": 2, "code": "1", "packages": {"torch": "2"}}
RATES = {"float32": 1e11, "bytes": 1e10}


class FakeRow(Row):
    """`seconds` by contestant, one after the other; `stop` is called in place of the run number `stop_at` (from 0)."""

    script: dict[str, Any]

    def __init__(self, seconds: dict[str, list[float]], stop_at: int | None = None, stop: Callable[[], Any] = print) -> None:
        super().__init__("fake", "Fakes", "A fake", "peer", {"harness": Goal("times", 2)}, "")
        object.__setattr__(self, "script", {"seconds": seconds, "stop_at": stop_at, "stop": stop, "order": [], "tried": []})

    def prepare(self, situation: Situation) -> Work:
        """Its peer is tried with two sizes, of which the larger is the faster by their own order of trial."""
        best = situation.best_size("rows", (4, 8), self.script["tried"].append)
        return Work(
            {name: lambda name=name: self.take(name) for name in ("harness", "peer")},
            {"pairs": 3},
            {"operations": 2e11},
            warm_up=lambda: None,
            profiled=lambda: best,
        )

    def take(self, name: str) -> Outcome:
        order = self.script["order"]
        order.append(name)
        if len(order) - 1 == self.script["stop_at"]:
            self.script["stop"]()
        return Outcome(self.script["seconds"][name].pop(0))
