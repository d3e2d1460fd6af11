"""Cost estimate of a run, from its plan and the measured throughput: prompts, tokens, seconds, bytes by kind of phase.

Tokens are those that go through the model: a prompt counts once per response it is trained with, as in the steps' records, and
once per group in scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.loop.plan import PHASE_KINDS, PhaseKind, PlannedPhase, responses_to_score

if TYPE_CHECKING:
    from harness.planning.throughput import Throughput

SCORE_LINE_BYTES = 170  # a line of scores.jsonl
STEP_LINE_BYTES = 450  # a line of steps.jsonl without its examples
EXAMPLE_ID_BYTES = 20  # an example's id in it
DIAGNOSTICS_LINE_BYTES = 900  # a line of the diagnostics' samples beyond its response


@dataclass(frozen=True)
class Cost:
    """Cost of one or several phases: prompts or items processed, tokens, seconds in one process, bytes on disk."""

    count: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    disk_bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.count + other.count, self.tokens + other.tokens, self.seconds + other.seconds, self.disk_bytes + other.disk_bytes
        )


@dataclass(frozen=True)
class CostEstimate:
    """Number of phases and cost by kind of phase, and the wall time of all."""

    costs_by_kind: dict[PhaseKind, tuple[int, Cost]]
    wall_seconds: float

    @property
    def total(self) -> Cost:
        return sum((cost for _, cost in self.costs_by_kind.values()), Cost())


@dataclass(frozen=True)
class Sizes:
    """Sizes that costs are computed from: annotated pairs, prompts of the diagnostics, prompts per optimizer step."""

    num_pairs: int
    diagnostics_prompts: int
    batch_size: int


def estimate_cost(phases: Sequence[PlannedPhase], throughput: Throughput, sizes: Sizes, num_parallel: int) -> CostEstimate:
    """The cost of phases still to do. num_parallel: trials that run at once, each at the measured speed."""
    costs = [estimate_phase(phase, throughput, sizes) for phase in phases]
    costs_by_kind: dict[PhaseKind, tuple[int, Cost]] = {}
    for kind in PHASE_KINDS:
        kind_costs = [cost for phase, cost in zip(phases, costs, strict=True) if phase.kind == kind]
        costs_by_kind[kind] = len(kind_costs), sum(kind_costs, Cost())
    shared_seconds = sum(cost.seconds for phase, cost in zip(phases, costs, strict=True) if phase.variant is None)
    seconds_by_trial: dict[str, float] = {}
    for phase, cost in zip(phases, costs, strict=True):
        if phase.variant is not None:
            trial = "/".join(phase.folder.split("/")[:2])
            seconds_by_trial[trial] = seconds_by_trial.get(trial, 0.0) + cost.seconds
    wall_seconds = shared_seconds + max(
        sum(seconds_by_trial.values()) / num_parallel, max(seconds_by_trial.values(), default=0.0)
    )
    return CostEstimate(costs_by_kind, wall_seconds)


def estimate_phase(phase: PlannedPhase, throughput: Throughput, sizes: Sizes) -> Cost:
    """The cost of one phase."""
    pairs = sizes.num_pairs if phase.variant is None else phase.variant.examples or sizes.num_pairs
    needs = phase.needs
    if phase.kind == "generate":
        responses = pairs * phase.responses_per_prompt
        tokens = responses * (throughput.prompt_tokens + throughput.generated_tokens)
        return Cost(responses, tokens, responses * throughput.generation.seconds_per_item, responses * throughput.sample_bytes)
    if phase.kind == "score":
        responses = pairs * (1 + needs.synthetic * phase.groups_per_pair + needs.proto)
        num_scored = 1 if phase.variant is None else responses_to_score(needs, phase.iteration, throughput.cached_logp_agrees)
        num_generated = max(0, num_scored - 1)
        prompt_tokens = throughput.prompt_tokens if num_scored else 0.0
        real_tokens = throughput.real_tokens if num_scored else 0.0
        tokens = pairs * (prompt_tokens + real_tokens + num_generated * throughput.generated_tokens)
        return Cost(responses, tokens, pairs * throughput.scoring[num_scored].seconds_per_item, responses * SCORE_LINE_BYTES)
    if phase.kind == "train":
        assert phase.variant is not None
        prompts = pairs * phase.groups_per_pair * phase.epochs
        num_generated = needs.synthetic + needs.proto
        tokens = prompts * (
            (1 + num_generated) * throughput.prompt_tokens + throughput.real_tokens + num_generated * throughput.generated_tokens
        )
        timing = throughput.training[phase.variant.label, min(phase.iteration, 1)]
        steps = -(-pairs * phase.groups_per_pair // sizes.batch_size) * phase.epochs
        disk_bytes = throughput.adapter_bytes + steps * STEP_LINE_BYTES + prompts * EXAMPLE_ID_BYTES
        return Cost(prompts, tokens, prompts * timing.seconds_per_item, disk_bytes)
    if phase.kind == "evaluate":
        evaluation = throughput.evaluation
        return Cost(evaluation.items, evaluation.tokens, evaluation.seconds, evaluation.disk_bytes)
    seconds = throughput.initial_diagnostics_seconds if phase.variant is None else throughput.later_diagnostics_seconds
    tokens = sizes.diagnostics_prompts * (throughput.prompt_tokens + throughput.generated_tokens)
    return Cost(
        sizes.diagnostics_prompts, tokens, seconds, sizes.diagnostics_prompts * (throughput.sample_bytes + DIAGNOSTICS_LINE_BYTES)
    )
