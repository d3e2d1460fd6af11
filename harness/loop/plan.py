"""The planned phases of a run, in the order in which they run: folder, kind and amount of work of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.config import RunConfig, scheduled
from harness.discovery.variants import Variant
from objectives import Needs

PhaseKind = Literal["generate", "score", "train", "evaluate", "probe"]
PHASE_KINDS: tuple[PhaseKind, ...] = ("generate", "score", "train", "evaluate", "probe")


@dataclass(frozen=True)
class PlannedPhase:
    """One phase to come. `variant` is None where it belongs to the initial policy, which all trials share.

    responses_per_prompt: generated ones. groups_per_pair: prompts in the training set per annotated pair, history included.
    epochs: of training.
    """

    folder: str
    kind: PhaseKind
    variant: Variant | None = None
    iteration: int = 0
    needs: Needs = field(default_factory=Needs)
    responses_per_prompt: int = 0
    groups_per_pair: int = 1
    epochs: int = 0


def plan_phases(config: RunConfig, variants: Sequence[Variant], suite: str) -> list[PlannedPhase]:
    """The phases of every trial, shared ones once. suite: the suite's name."""
    phases = [PlannedPhase(f"initial/evaluate/{suite}", "evaluate"), PlannedPhase("initial/probe", "probe")]
    for variant in variants:
        needs = [objective.needs for objective in variant.objectives(config.iterations)]
        for seed in config.seeds:
            for t in range(config.iterations):
                phases += _iteration_phases(config, variant, needs[t], seed, t, suite)
    phase_by_folder: dict[str, PlannedPhase] = {}
    for phase in phases:
        phase_by_folder.setdefault(phase.folder, phase)
    return list(phase_by_folder.values())


def responses_to_score(needs: Needs, iteration: int, cached_logp_agrees: bool) -> int:
    """Responses per prompt that go through the model when the training set of an iteration is scored.

    Where cached log-probabilities agree with scored ones, the opponent's own samples are not scored again, and at iteration 0
    neither are the real responses.
    """
    num_earlier = min(needs.history, iteration)
    if not cached_logp_agrees:
        return 1 + needs.synthetic * (1 + num_earlier) + needs.proto
    return 1 + needs.synthetic * num_earlier + needs.proto if iteration else 0


def _iteration_phases(config: RunConfig, variant: Variant, needs: Needs, seed: int, t: int, suite: str) -> list[PlannedPhase]:
    """The phases of one iteration of one trial, and those of the initial policy that it needs."""
    folder = f"{variant.label}/seed-{seed}/iteration-{t}"
    num_shared = max(needs.synthetic if t == 0 else 0, needs.proto)
    groups = min(needs.history, t) + 1
    epochs = int(scheduled(variant.training.get("epochs", config.training.epochs), t))
    phases = [PlannedPhase(f"initial/seed-{seed}/generate/k-{k}", "generate", responses_per_prompt=1) for k in range(num_shared)]
    if needs.reference and t == 0:
        phases.append(PlannedPhase("initial/score", "score"))
    if needs.synthetic:
        phases.append(
            PlannedPhase(f"{folder}/generate", "generate", variant, t, needs, responses_per_prompt=needs.synthetic if t else 0)
        )
    if needs.reference:
        phases.append(PlannedPhase(f"{folder}/score", "score", variant, t, needs, groups_per_pair=groups))
    phases.append(PlannedPhase(f"{folder}/train", "train", variant, t, needs, groups_per_pair=groups, epochs=epochs))
    phases.append(PlannedPhase(f"{folder}/evaluate/{suite}", "evaluate", variant, t))
    phases.append(PlannedPhase(f"{folder}/probe", "probe", variant, t))
    return phases
