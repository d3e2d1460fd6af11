"""Cost estimate of a run, from its plan and the measured throughput: prompts, tokens, seconds, bytes by kind of phase.

Tokens are those that go through the model: a prompt counts once per response it is trained with, as in the steps' records, and
once per group in scoring. What a phase costs is said by the phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.loop.costs import Cost, Sizes, Throughput
from harness.loop.phases.phase import Phase
from harness.loop.plan import PHASES
from harness.store.small_files import unit_of


@dataclass(frozen=True)
class CostEstimate:
    """Number of phases and cost by kind of phase, and the wall time of all."""

    costs_by_kind: dict[str, tuple[int, Cost]]
    wall_seconds: float

    @property
    def total(self) -> Cost:
        return sum((cost for _, cost in self.costs_by_kind.values()), Cost())


def estimate_cost(phases: Sequence[Phase], throughput: Throughput, sizes: Sizes, num_parallel: int) -> CostEstimate:
    """The cost of phases still to do. num_parallel: trials that run at once, each at the measured speed."""
    costs_by_kind = {phase_type.kind: (0, Cost()) for phase_type in PHASES}
    shared_seconds, seconds_by_trial = 0.0, dict[str, float]()
    for phase in phases:
        cost = phase.cost(throughput, sizes)
        count, total = costs_by_kind[phase.kind]
        costs_by_kind[phase.kind] = count + 1, total + cost
        if phase.variant is None:
            shared_seconds += cost.seconds
        else:
            trial = unit_of(phase.folder)
            seconds_by_trial[trial] = seconds_by_trial.get(trial, 0.0) + cost.seconds
    longest_trial = max(seconds_by_trial.values(), default=0.0)
    wall_seconds = shared_seconds + max(sum(seconds_by_trial.values()) / num_parallel, longest_trial)
    return CostEstimate(costs_by_kind, wall_seconds)
