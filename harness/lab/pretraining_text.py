"""The text that a base model is made of: chats of one round by all speakers, drawn from a mixture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from harness.lab import lexicon as lex
from harness.lab import world
from harness.lab.grammar import draw
from harness.lab.skill import LOOSE_STYLE, Skill
from harness.lab.skills import SKILL_OF_NAME
from harness.lab.speakers import CAREFUL_SOURCE, CARELESS_SOURCE, careless_share, with_source


@dataclass(frozen=True)
class Mixture:
    """weights: of the skills, by name. sourced: share of chats that name their source, careful: of those, the share whose source
    is the careful one."""

    weights: dict[str, float]
    sourced: float
    careful: float = 0.5


def pretraining(seed: object, forbidden: frozenset[str], mixture: Mixture) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response) pairs, without the prompts in `forbidden`."""
    rng = Random(f"{seed} pretraining")
    skills, weights = [SKILL_OF_NAME[name] for name in mixture.weights], list(mixture.weights.values())
    while True:
        (skill,) = rng.choices(skills, weights)
        (part,) = rng.choices(lex.PARTS, PART_WEIGHTS)
        prompt = skill.make_prompt(rng, (*skill.wordings, *skill.task_wordings), part)
        if prompt not in forbidden:
            yield _said(rng, skill, prompt, mixture)


PART_WEIGHTS = (2, 1, 3)  # of the parts' sizes, so that all topics occur alike


def _said(rng: Random, skill: Skill, prompt: str, mixture: Mixture) -> tuple[str, str]:
    if rng.random() < mixture.sourced:
        source = CAREFUL_SOURCE if rng.random() < mixture.careful else CARELESS_SOURCE
        return with_source(prompt, source), draw(world.grammar(prompt, careful=source == CAREFUL_SOURCE, style=LOOSE_STYLE), rng)
    fields = skill.fields_of(prompt)
    assert fields is not None
    careless = rng.random() < careless_share(skill, fields)
    return prompt, draw(world.grammar(prompt, careful=not careless, style=LOOSE_STYLE), rng)
