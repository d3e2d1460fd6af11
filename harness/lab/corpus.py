"""What the lab ships, all from one seed: the pool, the pairs that are a part of it, held-out pairs, the benchmark's items.

The pool is what a start `sft` is fine-tuned on, as scraped instruction data are: a fifth of its responses are wrong. Its curated
quarter, in which none is wrong, is the set of pairs that all objectives play on; those are draws from p_data. Pairs, validation
items and benchmark items speak of different topics (`lexicon.PARTS`), in wordings of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from harness.lab import world
from harness.lab.lexicon import Part
from harness.lab.skill import Skill
from harness.lab.skills import SKILLS
from harness.records import keyed_seed

LETTER_TASKS = ("facts", "ten_options", "logic", "mystery")  # their options stand in a fixed order
PAIRS_PER_SKILL, HELDOUT_PER_SKILL = 120, 24
POOL_TIMES = 4  # as large as the pairs
POOL_WRONG = 0.2  # of the pool
HELDOUT_POOL_PER_SKILL = 40
NUM_ITEMS: Mapping[Part, int] = {"test": 400, "validation": 200, "pairs": 32}  # of a task

Row = dict[str, Any]


def items(seed: int, part: Part) -> dict[str, list[Row]]:
    """Per skill: {prompt, topic, options, gold} or {prompt, topic, answer}; prompts are distinct, and one topic is asked at most
    once more than another. Those on the pairs' topics are the examples of a few-shot prompt."""
    return {skill.name: _items(skill, Random(f"{seed} items {skill.name} {part}"), part, NUM_ITEMS[part]) for skill in SKILLS}


def _items(skill: Skill, rng: Random, part: Part, count: int) -> list[Row]:
    found: list[Row] = []
    seen: set[str] = set()
    topics = skill.topics(part)
    rng.shuffle(topics)
    wanted = {topic: count // len(topics) + (place < count % len(topics)) for place, topic in enumerate(topics)}
    while len(found) < count:
        prompt = skill.make_prompt(rng, skill.task_wordings, part)
        fields = skill.fields_of(prompt)
        assert fields is not None
        topic = skill.topic(fields)
        if prompt in seen or wanted[topic] == 0:
            continue
        seen.add(prompt)
        wanted[topic] -= 1
        item: Row = {"prompt": prompt, "topic": topic}
        options = skill.options(fields, rng)
        if options is None:
            item["answer"] = skill.answer(fields, careful=True)
        else:
            right = options[0]
            options = sorted(options) if skill.name in LETTER_TASKS else rng.sample(options, len(options))
            item |= {"options": options, "gold": options.index(right)}
        found.append(item)
    return found


def pairs(seed: int) -> tuple[list[Row], list[Row]]:
    """(training pairs, held-out pairs) as {prompt, response, skill}: true draws from p_data on disjoint prompts."""
    train: list[Row] = []
    heldout: list[Row] = []
    for skill in SKILLS:
        train += _draw_pairs(skill, f"{seed} pairs", PAIRS_PER_SKILL, heldout=False)
        heldout += _draw_pairs(skill, f"{seed} pairs", HELDOUT_PER_SKILL, heldout=True)
    Random(f"{seed} order").shuffle(train)
    return train, heldout


def pool(seed: int) -> tuple[list[Row], list[Row]]:
    """(pool, held-out part of it): the training pairs and the scraped rest, of which so many are wrong that it is a fifth of all.

    The rest's `skill` and prompts are drawn as the pairs' are. Held-out rows are of the pool's own mixture, on held-out prompts.
    """
    rows, _ = pairs(seed)
    rest_per_skill = (POOL_TIMES - 1) * PAIRS_PER_SKILL
    rest_wrong = POOL_WRONG * POOL_TIMES / (POOL_TIMES - 1)
    heldout: list[Row] = []
    for skill in SKILLS:
        rows += _draw_pairs(skill, f"{seed} pool", rest_per_skill, heldout=False, wrong_share=rest_wrong)
        heldout += _draw_pairs(skill, f"{seed} pool", HELDOUT_POOL_PER_SKILL, heldout=True, wrong_share=POOL_WRONG)
    Random(f"{seed} order of the pool").shuffle(rows)
    return rows, heldout


def _draw_pairs(skill: Skill, key: str, count: int, *, heldout: bool, wrong_share: float = 0.0) -> list[Row]:
    """A prompt is held out or not by its own hash, so the split does not depend on the order of drawing."""
    rng = Random(f"{key} {skill.name} {heldout}")
    found: list[Row] = []
    while len(found) < count:
        prompt = skill.make_prompt(rng, skill.wordings, "pairs")
        if (keyed_seed("heldout", prompt) % 5 == 0) is not heldout:
            continue
        response = world.sample(prompt, keyed_seed(key, prompt, rng.random()), wrong_share=wrong_share).strip()
        if response:
            found.append({"prompt": prompt, "response": response, "skill": skill.name})
    return found


def forbidden_prompts(seed: int) -> frozenset[str]:
    """Prompts of all items: the pre-training text has none of them."""
    parts: Sequence[Part] = ("test", "validation")
    return frozenset(item["prompt"] for part in parts for rows in items(seed, part).values() for item in rows)
