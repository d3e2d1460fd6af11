"""Every phase a run consists of, in the order they are played, before any is: its folder, its kind, how much it has to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness.config import RunConfig, scheduled
from harness.discovery.variants import Variant
from objectives import Needs

Kind = Literal["generate", "score", "train", "evaluate", "probe"]
KINDS: tuple[Kind, ...] = ("generate", "score", "train", "evaluate", "probe")


@dataclass(frozen=True)
class Phase:
    """One phase to come. `variant` is None where it belongs to the initial policy, which all cells share.

    drawn: responses drawn per prompt; groups: prompts in the training set per annotated pair, history included; epochs: of
    training.
    """

    folder: str
    kind: Kind
    variant: Variant | None = None
    iteration: int = 0
    needs: Needs = field(default_factory=Needs)
    drawn: int = 0
    groups: int = 1
    epochs: int = 0


def planned_phases(config: RunConfig, variants: Sequence[Variant], suite: str) -> list[Phase]:
    """The phases of every cell, shared ones once. suite: the leaderboard's name."""
    every = [Phase(f"initial/evaluate/{suite}", "evaluate"), Phase("initial/probe", "probe")]
    for variant in variants:
        needs = [objective.needs for objective in variant.objectives(config.iterations)]
        for seed in config.seeds:
            for t in range(config.iterations):
                every += _round(config, variant, needs[t], seed, t, suite)
    found: dict[str, Phase] = {}
    for phase in every:
        found.setdefault(phase.folder, phase)
    return list(found.values())


def fresh_responses(needs: Needs, iteration: int, known_agree: bool) -> int:
    """Responses per prompt that go through the model when the training set of an iteration is scored.

    What the opponent drew itself is known, and at iteration 0 the real responses too, where known log-probabilities agree with
    scored ones.
    """
    earlier = min(needs.history, iteration)
    if not known_agree:
        return 1 + needs.synthetic * (1 + earlier) + needs.proto
    return 1 + needs.synthetic * earlier + needs.proto if iteration else 0


def _round(config: RunConfig, variant: Variant, needs: Needs, seed: int, t: int, suite: str) -> list[Phase]:
    """The phases of one iteration of one cell, and what it needs of the initial policy."""
    where = f"{variant.label}/seed-{seed}/iteration-{t}"
    shared = max(needs.synthetic if t == 0 else 0, needs.proto)
    groups = min(needs.history, t) + 1
    epochs = int(scheduled(variant.training.get("epochs", config.training.epochs), t))
    found = [Phase(f"initial/seed-{seed}/generate/k-{k}", "generate", drawn=1) for k in range(shared)]
    if needs.reference and t == 0:
        found.append(Phase("initial/score", "score"))
    if needs.synthetic:
        found.append(Phase(f"{where}/generate", "generate", variant, t, needs, drawn=needs.synthetic if t else 0))
    if needs.reference:
        found.append(Phase(f"{where}/score", "score", variant, t, needs, groups=groups))
    found.append(Phase(f"{where}/train", "train", variant, t, needs, groups=groups, epochs=epochs))
    found.append(Phase(f"{where}/evaluate/{suite}", "evaluate", variant, t))
    found.append(Phase(f"{where}/probe", "probe", variant, t))
    return found
