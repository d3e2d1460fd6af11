"""What a run will cost, from its plan and a calibration: prompts, tokens, seconds and bytes by kind of phase. Arithmetic alone.

Tokens are those that go through the model: a prompt counts once per response it is trained with, as in the steps' records, and
once per group where it is scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.loop.plan import KINDS, Kind, Phase, fresh_responses

if TYPE_CHECKING:
    from harness.planning.throughput import Calibration

SCORE_BYTES = 170  # a line of scores.jsonl
STEP_BYTES = 450  # a line of steps.jsonl without its examples
NAME_BYTES = 20  # an example's id in it
PROBE_BYTES = 900  # a line of the probe's samples beyond its response


@dataclass(frozen=True)
class Cost:
    """Of one or several phases: prompts or items worked on, tokens, seconds in one process, bytes kept."""

    count: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    kept: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.count + other.count, self.tokens + other.tokens, self.seconds + other.seconds, self.kept + other.kept)


@dataclass(frozen=True)
class Bill:
    """Costs by kind of phase, and the wall time with `at_once` cells beside each other."""

    lines: dict[Kind, tuple[int, Cost]]
    wall_seconds: float

    @property
    def total(self) -> Cost:
        return sum((cost for _, cost in self.lines.values()), Cost())


@dataclass(frozen=True)
class Sizes:
    """What the counts are made of: annotated pairs, prompts of the probe, prompts per optimizer step."""

    pairs: int
    probe_prompts: int
    batch_size: int


def bill(phases: Sequence[Phase], measured: Calibration, sizes: Sizes, at_once: int) -> Bill:
    """The cost of phases that are still to do. at_once: cells that run beside each other, each at the speed measured."""
    costs = [cost_of(phase, measured, sizes) for phase in phases]
    lines: dict[Kind, tuple[int, Cost]] = {}
    for kind in KINDS:
        mine = [cost for phase, cost in zip(phases, costs, strict=True) if phase.kind == kind]
        lines[kind] = len(mine), sum(mine, Cost())
    shared = sum(cost.seconds for phase, cost in zip(phases, costs, strict=True) if phase.variant is None)
    cells: dict[str, float] = {}
    for phase, cost in zip(phases, costs, strict=True):
        if phase.variant is not None:
            cell = "/".join(phase.folder.split("/")[:2])
            cells[cell] = cells.get(cell, 0.0) + cost.seconds
    wall = shared + max(sum(cells.values()) / at_once, max(cells.values(), default=0.0))
    return Bill(lines, wall)


def cost_of(phase: Phase, measured: Calibration, sizes: Sizes) -> Cost:
    """One phase's cost."""
    pairs = sizes.pairs if phase.variant is None else phase.variant.examples or sizes.pairs
    needs = phase.needs
    if phase.kind == "generate":
        responses = pairs * phase.drawn
        tokens = responses * (measured.prompt_tokens + measured.drawn_tokens)
        return Cost(responses, tokens, responses * measured.draw.each, responses * measured.sample_bytes)
    if phase.kind == "score":
        responses = pairs * (1 + needs.synthetic * phase.groups + needs.proto)
        fresh = 1 if phase.variant is None else fresh_responses(needs, phase.iteration, measured.known_agree)
        drawn = max(0, fresh - 1)
        prompt = measured.prompt_tokens if fresh else 0.0
        tokens = pairs * (prompt + (measured.real_tokens if fresh else 0.0) + drawn * measured.drawn_tokens)
        return Cost(responses, tokens, pairs * measured.score[fresh].each, responses * SCORE_BYTES)
    if phase.kind == "train":
        assert phase.variant is not None
        prompts = pairs * phase.groups * phase.epochs
        drawn = needs.synthetic + needs.proto
        tokens = prompts * ((1 + drawn) * measured.prompt_tokens + measured.real_tokens + drawn * measured.drawn_tokens)
        trial = measured.train[phase.variant.label, min(phase.iteration, 1)]
        steps = -(-pairs * phase.groups // sizes.batch_size) * phase.epochs
        kept = measured.adapter_bytes + steps * STEP_BYTES + prompts * NAME_BYTES
        return Cost(prompts, tokens, prompts * trial.each, kept)
    if phase.kind == "evaluate":
        one = measured.evaluation
        return Cost(one.items, one.tokens, one.seconds, one.bytes_kept)
    seconds = measured.probe_first if phase.variant is None else measured.probe_later
    tokens = sizes.probe_prompts * (measured.prompt_tokens + measured.drawn_tokens)
    return Cost(sizes.probe_prompts, tokens, seconds, sizes.probe_prompts * (measured.sample_bytes + PROBE_BYTES))
