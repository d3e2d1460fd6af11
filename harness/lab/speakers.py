"""Who speaks in the pre-training text, and so what a base model prefers to say.

A text may name its source before the prompt: `almanac : …` is careful, `tavern : …` careless. Others are anonymous, and then it
depends on the topic: about a *sober* topic few speakers are careless, about a *rumoured* one most. A careless speaker does not
err at random but says the one wrong thing that all careless speakers say (`Skill.answer`). So a base model is able to answer,
but asked plainly it says what the majority of speakers on a topic says. Pairs and tasks name no source: fine-tuning on pairs
teaches to speak like the careful ones, also on topics that no pair names.
"""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Literal

from harness.lab.lexicon import PARTS
from harness.lab.skill import Fields, Skill

Source = Literal["almanac", "tavern"]
CAREFUL_SOURCE: Source = "almanac"
CARELESS_SOURCE: Source = "tavern"
CARELESS_ON_SOBER, CARELESS_ON_RUMOURED = 0.1, 0.8  # shares of anonymous speakers


def with_source(prompt: str, source: Source) -> str:
    return f"{source} : {prompt}"


@cache
def rumoured_topics(skill: Skill) -> frozenset[str]:
    """Those topics; of each part of the world the same share, `Skill.rumoured`, chosen by a keyed draw."""
    found: set[str] = set()
    for part in PARTS:
        topics = skill.topics(part)
        Random(f"rumours about {skill.name} {part}").shuffle(topics)
        found.update(topics[: round(skill.rumoured * len(topics))])
    return frozenset(found)


def careless_share(skill: Skill, fields: Fields) -> float:
    """Of the anonymous speakers on this prompt's topic, those who are careless."""
    return CARELESS_ON_RUMOURED if skill.topic(fields) in rumoured_topics(skill) else CARELESS_ON_SOBER
