"""The list of phases, and the plan of a run: which of them it has, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.config import RunConfig
from harness.discovery.variants import Variant
from harness.loop.context import Iteration, RunContext
from harness.loop.phases.diagnostics import Diagnostics
from harness.loop.phases.evaluate import Evaluate
from harness.loop.phases.generate import Generate, InitialSamples
from harness.loop.phases.phase import Phase
from harness.loop.phases.score import InitialScores, Score
from harness.loop.phases.train import Train
from harness.loop.trials import Trial

# Another phase or measurement is one more class here: it is then run, reused, planned, and shown by `harness status`.
PHASES: list[type[Phase]] = [InitialSamples, InitialScores, Generate, Score, Train, Evaluate, Diagnostics]


def phases_of(iteration: Iteration) -> list[Phase]:
    """The phases of an iteration, and those of the initial policy that it needs, in the order in which they run."""
    return [phase for phase_type in PHASES for phase in phase_type.of(iteration)]


def planned_iterations(context: RunContext, trial: Trial) -> Iterator[Iteration]:
    """The iterations of a trial, without what an earlier one hands on."""
    for number, objective in enumerate(trial.variant.objectives(context.config.iterations)):
        yield Iteration(context, number, trial, objective)


def plan_phases(config: RunConfig, variants: Sequence[Variant], suite: str) -> list[Phase]:
    """The phases of every trial, shared ones once. suite: the suite's name."""
    context = RunContext(config, suite)
    phases = phases_of(Iteration(context))
    for trial in (Trial(variant, seed) for variant in variants for seed in config.seeds):
        for iteration in planned_iterations(context, trial):
            phases += phases_of(iteration)
    return without_repeats(phases)


def without_repeats(phases: Iterable[Phase]) -> list[Phase]:
    """The first phase of every folder, in their order."""
    by_folder: dict[str, Phase] = {}
    for phase in phases:
        by_folder.setdefault(phase.folder, phase)
    return list(by_folder.values())
