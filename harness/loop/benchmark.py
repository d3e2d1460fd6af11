"""What a leaderboard is to the rest of the harness, whether its scores come from lm-eval's tasks or from a judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.loop.suite import Suite
from harness.progress import Advance
from harness.records import EvalRecord
from harness.store.partial_results import PartialResults


@dataclass(frozen=True)
class EvalResult:
    """One player's scores: a record, samples and items per row, the result as it came, and a hash over all prompts."""

    records: list[EvalRecord]
    samples: dict[str, list[dict[str, Any]]]
    items: dict[str, dict[str, Any]]
    raw: dict[str, Any]
    prompt_hash: str
    notes: tuple[str, ...] = ()  # what only asking told, one line each


class Benchmark(Protocol):
    """A suite made ready once per run and used for every player."""

    suite: Suite
    raw_name: str  # file in the phase's folder that `Evaluated.raw` goes to

    @property
    def digest(self) -> str:
        """Names everything that is asked."""
        ...

    @property
    def task_fingerprints(self) -> Mapping[str, str]:
        """Names how it is asked and scored, where that is said outside suite and documents."""
        return {}

    @property
    def judge_identity(self) -> Mapping[str, Any]:
        """What changes the scores beside the suite and the player; empty where nothing does."""
        return {}

    def notices(self) -> Iterator[str]:
        """What a user should know of the questions before anything is spent, one line each."""
        return iter(())

    def items(self) -> dict[str, int]:
        """How many items each row asks."""
        ...

    def clusters(self) -> dict[str, list[int]]:
        """Row -> the cluster of every item it asks, for the rows of which the suite names one."""
        return {}

    def requests(self) -> int | None:
        """How many requests a player answers, where it is known."""
        ...

    def check_ready(self, ping: bool) -> None:
        """Raises UserError when something outside the suite is missing; reach: ask what is elsewhere whether it answers."""

    def check_context(self, policy: Any) -> None:
        """Raises UserError when the model's context cannot hold what a row asks, as far as that is known beforehand."""

    def evaluate(
        self,
        policy: Any,
        max_tokens_per_batch: int,
        batch_size: int,
        advance: Advance,
        judgement_log: Path,
        partial_results: PartialResults,
    ) -> EvalResult:
        """Scores of the player in the policy's slot. Raises EvaluationError when it cannot be finished.

        columns: tokens that go through the model at a time when scoring; rows: responses generated at a time; kept: a file
        beside the phases, for work that must not be lost when this evaluation fails; unfinished: where a suite that fits one
        player alone keeps its answers until the phase is complete.
        """
        ...
