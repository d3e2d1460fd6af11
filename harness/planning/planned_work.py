"""What a run is about to do, as the screen counts it: the phases left, and how much work each is beside others of its kind.

The work is what the cost estimate (`harness run --dry-run`) says of a phase on a machine on which every part costs the same:
nothing is measured for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import cast

from harness.loop.costs import EvaluationEstimate, Sizes, Throughput, Timing
from harness.loop.phases.phase import Phase
from harness.loop.training_loop import TrainingLoop
from harness.progress.planned import PlannedPhase
from harness.store.finished_phases import FinishedPhases
from harness.store.small_files import unit_of

UNIT = Timing(1, 1.0)


def planned_work(loop: TrainingLoop, phases: Iterable[Phase]) -> list[PlannedPhase]:
    """The phases as the screen counts them."""
    context = loop.runner.context
    config, data = context.config, context.data
    sizes = Sizes(len(data.train), min(config.probe.prompts, len(data.heldout)), config.training.batch_size)
    return [_planned(phase, sizes) for phase in phases]


def finished_work(loop: TrainingLoop, phases: Sequence[Phase]) -> list[tuple[PlannedPhase, float]]:
    """Those of the phases that an earlier command finished, with the seconds that it took."""
    finished = FinishedPhases(loop.root)
    manifests = ((planned, finished.manifest(planned.folder)) for planned in planned_work(loop, phases))
    taken_over = ("shared", "taken_from")
    return [
        (planned, float(manifest["seconds"]))
        for planned, manifest in manifests
        if manifest is not None and not any(name in manifest["counts"] for name in taken_over)
    ]


def _planned(phase: Phase, sizes: Sizes) -> PlannedPhase:
    cost = phase.cost(_unit_throughput(), sizes)
    trial = "" if phase.variant is None else unit_of(phase.folder)
    variant = "" if phase.variant is None else phase.variant.label
    return PlannedPhase(phase.folder, phase.kind, trial, variant, cost.tokens)


def _unit_throughput() -> Throughput:
    """A machine on which a prompt, a response and an item are one token each."""
    return Throughput(
        prompt_tokens=1.0,
        real_tokens=1.0,
        generated_tokens=1.0,
        generated_tokens_stderr=0.0,
        truncated_fraction=0.0,
        generation=UNIT,
        cached_logp_agrees=True,
        evaluation=EvaluationEstimate(tokens=1.0, seconds=1.0, disk_bytes=0.0, timed_items=1, items=1),
        initial_diagnostics_seconds=1.0,
        later_diagnostics_seconds=1.0,
        sample_bytes=0.0,
        adapter_bytes=0,
        training=cast(dict[tuple[str, int], Timing], defaultdict(lambda: UNIT)),
        scoring=cast(dict[int, Timing], defaultdict(lambda: UNIT)),
    )
