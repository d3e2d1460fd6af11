"""The lab's texts, all from one seed: training pairs, held-out pairs, the benchmark's items, and the pre-training text.

The three sets of prompts are disjoint, and the pre-training text contains no prompt of the benchmark. The speakers of its text
are careless in a fixed share of cases (they then state a myth or a wrong sum) and have looser styles, so that a base model
has seen the truth but does not prefer it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from harness.lab import world
from harness.lab.generated import Format
from harness.lab.grammar import draw
from harness.lab.skill import LOOSE_STYLE, Skill
from harness.lab.skills import SKILLS
from harness.records import keyed_seed

LETTER_TASKS = ("facts", "ten_options")
FIXED_SHOTS = {"logic": 3, "arithmetic": 2}
TRAIN_PER_SKILL = 120
HELDOUT_PER_SKILL = 24
ITEMS_PER_TASK = 160
VALIDATION_ITEMS_PER_TASK = 80
REUSED_PROMPT_SKILLS = ("misconceptions",)  # every question is in the benchmark: validation has them with other options


@dataclass(frozen=True)
class Mixture:
    """What a stage's pre-training text consists of.

    Looking something up in the prompt is hard at this size: the skills in `lookups` occur `weight` times as often and with
    fewer careless speakers, and a share of the text are `drills`, which are only repeating and looking up.
    """

    lookups: tuple[str, ...]
    weight: int
    careless: float
    careless_lookups: float
    drills: float


def benchmark_items(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Benchmark items per skill: {prompt, options, gold} or {prompt, answer}; the first few of a few-shot task are shots."""
    return {skill.name: _make_items(skill, Random(f"{seed} items {skill.name}"), ITEMS_PER_TASK, ()) for skill in SKILLS}


def validation_items(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Items to choose settings by: of the same kind as the benchmark's, and none of them in it."""
    excluded = benchmark_items(seed)
    return {
        skill.name: _make_items(skill, Random(f"{seed} validation {skill.name}"), VALIDATION_ITEMS_PER_TASK, excluded[skill.name])
        for skill in SKILLS
    }


def _make_items(skill: Skill, rng: Random, count: int, excluded_items: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    seen = {repr(item) for item in excluded_items}
    excluded_prompts = set() if skill.name in REUSED_PROMPT_SKILLS else {item["prompt"] for item in excluded_items}
    num_items = count + FIXED_SHOTS.get(skill.name, 0)
    while len(items) < num_items:
        prompt = skill.make_prompt(rng, skill.task_wordings, with_withheld=True)
        fields = skill.fields_of(prompt)
        assert fields is not None
        options = skill.options(fields, rng)
        item: dict[str, Any] = {"prompt": prompt}
        if options is None:
            item["answer"] = skill.answer(fields, careful=True) if not isinstance(skill, Format) else ""
        else:
            right = options[0]
            options = sorted(options) if skill.name in LETTER_TASKS else rng.sample(options, len(options))
            item |= {"options": options, "gold": options.index(right)}
        if repr(item) not in seen and prompt not in excluded_prompts:
            seen.add(repr(item))
            items.append(item)
    return items


def pairs(seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(training pairs, held-out pairs) as {prompt, response, skill}: true draws from p_data on disjoint prompts.

    A prompt belongs to one of the two by its own hash, so the split does not depend on the order of drawing.
    """
    train: list[dict[str, str]] = []
    heldout: list[dict[str, str]] = []
    for skill in SKILLS:
        rng = Random(f"{seed} pairs {skill.name}")
        of_train: list[dict[str, str]] = []
        of_heldout: list[dict[str, str]] = []
        while len(of_train) < TRAIN_PER_SKILL or len(of_heldout) < HELDOUT_PER_SKILL:
            prompt = skill.make_prompt(rng, skill.wordings, with_withheld=False)
            is_heldout = keyed_seed("heldout", prompt) % 5 == 0
            target, limit = (of_heldout, HELDOUT_PER_SKILL) if is_heldout else (of_train, TRAIN_PER_SKILL)
            response = world.sample(prompt, keyed_seed(seed, "pair", prompt, rng.random())).strip()
            pair = {"prompt": prompt, "response": response, "skill": skill.name}
            if len(target) < limit and response and pair not in target:
                target.append(pair)
        train += of_train
        heldout += of_heldout
    Random(f"{seed} order").shuffle(train)
    return train, heldout


def pretraining(seed: object, forbidden: frozenset[str], mixture: Mixture) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response) pairs of the pre-training text, without the prompts in `forbidden`."""
    rng = Random(f"{seed} pretraining")
    weights = [mixture.weight if skill.name in mixture.lookups else 1 for skill in SKILLS]
    while True:
        if rng.random() < mixture.drills:
            yield _drill(rng)
            continue
        (skill,) = rng.choices(SKILLS, weights)
        prompt = skill.make_prompt(rng, (*skill.wordings, *skill.task_wordings), with_withheld=True)
        if prompt in forbidden:
            continue
        careless = mixture.careless_lookups if skill.name in mixture.lookups else mixture.careless
        yield prompt, draw(world.grammar(prompt, careful=rng.random() >= careless, style=LOOSE_STYLE), rng)


def _drill(rng: Random) -> tuple[str, str]:
    """Words to repeat, or pairs to look one up in: without these a model this small does not learn to look back."""
    words = rng.sample(world.NOISE_MODEL.words, rng.randint(5, 9))
    if rng.random() < 0.5:
        return "again : " + " ".join(words), " ".join(words)
    keys, values = words[: len(words) // 2], words[len(words) // 2 :]
    key_index = rng.randrange(len(keys))
    return " ".join(f"{k} {v}" for k, v in zip(keys, values, strict=False)) + f" : {keys[key_index]} ?", values[key_index]
