"""The text that a base model is made of: chats of one round by all speakers, and drills, drawn from a mixture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from harness.lab import lexicon as lex
from harness.lab import world
from harness.lab.grammar import draw
from harness.lab.skill import LETTERS, LOOSE_STYLE, Skill
from harness.lab.skills import SKILL_OF_NAME, SKILLS
from harness.lab.speakers import CAREFUL_SOURCE, CARELESS_SOURCE, careless_share, with_source

Drill = Literal["letter of a word", "letter of a kind", "same or not"]
DRILLS: Sequence[Drill] = ("letter of a word", "letter of a kind", "same or not")


@dataclass(frozen=True)
class Mixture:
    """weights: of the skills, by name. sourced: share of chats that name their source, careful: of those, the share whose source
    is the careful one. drills: share of the text."""

    weights: dict[str, float]
    sourced: float
    drills: float
    careful: float = 0.5


def pretraining(seed: object, forbidden: frozenset[str], mixture: Mixture) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response) pairs, without the prompts in `forbidden`."""
    rng = Random(f"{seed} pretraining")
    skills, weights = [SKILL_OF_NAME[name] for name in mixture.weights], list(mixture.weights.values())
    while True:
        if rng.random() < mixture.drills:
            yield _drill(rng)
            continue
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


def _drill(rng: Random) -> tuple[str, str]:
    """Exercises in finding again what the prompt has: without them a model this small learns that late."""
    kind = rng.choice(DRILLS)
    if kind == "same or not":
        one, two = rng.choice(lex.INVENTED_KINDS + lex.COLOURS), rng.choice(lex.INVENTED_KINDS + lex.COLOURS)
        two = one if rng.random() < 0.5 else two
        return f"{one} {two} : same ?", f"{one} {two} , {'yes' if one == two else 'no'} ."
    size = rng.randint(3, 10)
    letters = LETTERS[:size]
    if kind == "letter of a word":
        words = rng.sample(lex.WORDS, size)
        asked = rng.randrange(size)
        listed = " ".join(f"{x} {word}" for x, word in zip(letters, words, strict=True))
        return f"{listed} : letter of {words[asked]} ?", f"{words[asked]} {letters[asked]} ."
    kinds = rng.sample(list(lex.CATEGORIES), min(size, len(lex.CATEGORIES)))
    words = [rng.choice(lex.CATEGORIES[k]) for k in kinds]
    asked = rng.randrange(len(kinds))
    listed = " ".join(f"{x} {word}" for x, word in zip(letters, words, strict=False))
    return f"{listed} : letter of the {kinds[asked]} ?", f"{kinds[asked]} {letters[asked]} ."


ALL_SKILLS = tuple(skill.name for skill in SKILLS)
