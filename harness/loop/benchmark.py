"""The protocol of a benchmark: a suite that scores checkpoints, whether by lm-eval's tasks or by a judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.loop.suite import Suite
from harness.progress import Advance
from harness.records import EvalRecord
from harness.store.partial_results import NO_PARTIAL_RESULTS, PartialResults


@dataclass(frozen=True)
class EvalOptions:
    """How a checkpoint is evaluated; nothing of it changes a score.

    max_tokens_per_batch: tokens per forward pass when scoring. batch_size: responses generated at a time. judgement_log: a file
    beside the phases, for replies that must survive when the evaluation fails. partial_results: where responses are stored until
    the phase is complete.
    """

    max_tokens_per_batch: int
    batch_size: int
    advance: Advance
    judgement_log: Path
    partial_results: PartialResults = NO_PARTIAL_RESULTS


@dataclass(frozen=True)
class EvalResult:
    """One checkpoint's scores: a record, samples and items per row, the unprocessed result, and a hash over all prompts."""

    records: list[EvalRecord]
    samples: dict[str, list[dict[str, Any]]]
    items: dict[str, dict[str, Any]]
    raw: dict[str, Any]
    prompt_hash: str
    notes: tuple[str, ...] = ()  # what became known only while evaluating, one line each


class Benchmark(Protocol):
    """A suite loaded once per run and used for every checkpoint."""

    suite: Suite
    raw_name: str  # file in the phase's folder that `EvalResult.raw` goes to

    @property
    def digest(self) -> str:
        """Digest of every prompt."""
        ...

    @property
    def task_fingerprints(self) -> Mapping[str, str]:
        """Digests of how tasks prompt and score, where that is defined outside suite and documents."""
        return {}

    @property
    def judge_identity(self) -> Mapping[str, Any]:
        """What changes the scores beside the suite and the checkpoint; empty where nothing does."""
        return {}

    def notices(self) -> Iterator[str]:
        """What a user should know of the questions before the run starts, one line each."""
        return iter(())

    def items(self) -> dict[str, int]:
        """Row -> number of its items."""
        ...

    def clusters(self) -> dict[str, list[int]]:
        """Row -> the cluster of each of its items, for the rows whose `cluster` the suite sets."""
        return {}

    def requests(self) -> int | None:
        """Requests per checkpoint; None where the number is not known beforehand."""
        ...

    def check_ready(self, ping: bool) -> None:
        """Raises UserError when something outside the suite is missing. ping: check too that a remote judge answers."""

    def check_context(self, policy: Any) -> None:
        """Raises UserError when the model's context cannot hold a row's prompts, as far as that is known beforehand."""

    def evaluate(self, policy: Any, options: EvalOptions) -> EvalResult:
        """Scores of the checkpoint in the policy's slot. Raises EvaluationError when it cannot be finished."""
        ...
