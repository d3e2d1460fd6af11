"""What a skill is: wordings of its prompts, a draw of their fields, and the grammar of its responses."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from harness.lab.grammar import Grammar, Slot, choices
from harness.lab.lexicon import Part

Fields = Mapping[str, str]
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Style:
    """What may come before and after the substance of a response."""

    openers: Slot
    closers: Slot


DATA_STYLE = Style(
    choices({"": 0.6, "well , ": 0.2, "i think ": 0.2}), choices({"": 0.6, " is that clear ?": 0.2, " ask me again .": 0.2})
)
# Style of the pre-training text: other phrases in other proportions, so that the data's style has to be learnt.
LOOSE_STYLE = Style(
    choices({"": 3, "well , ": 1, "i think ": 1, "hmm , ": 2, "look : ": 2, "sure , ": 2}),
    choices({"": 3, " is that clear ?": 1, " ask me again .": 1, " or so .": 2, " who knows ?": 2, " that is all .": 2}),
)


class Wording:
    """A prompt with named fields in braces: fills them, and finds them again in a text.

    `constants` are fields the wording itself implies, such as which attribute it asks for.
    """

    def __init__(self, template: str, **constants: str) -> None:
        self.template = template
        self.constants = constants
        pattern, seen_names = "", set()
        for literal, name in re.findall(r"([^{]*)(?:\{(\w+)\})?", template):
            pattern += re.escape(literal)
            if name:
                pattern += f"(?P={name})" if name in seen_names else f"(?P<{name}>[^.:?]+?)"
                seen_names.add(name)
        self.pattern = re.compile(pattern)

    def fill(self, fields: Fields) -> str:
        return self.template.format_map(fields)

    def parse(self, prompt: str) -> dict[str, str] | None:
        match = self.pattern.fullmatch(prompt)
        return {**match.groupdict(), **self.constants} if match else None

    def matches_constants(self, fields: Fields) -> bool:
        return all(fields[name] == value for name, value in self.constants.items())


class Skill(ABC):
    """One of the ten. `wordings` are those of the training pairs; `task_wordings` are the benchmark's, never trained on.

    topics: what its prompts are about, each in one part of the world (`lexicon.PARTS`). rumoured: the share of topics about which
    most speakers of the pre-training text are careless (`speakers.py`).
    """

    name: str
    wordings: Sequence[Wording]
    task_wordings: Sequence[Wording]
    rumoured: float = 0.5

    @abstractmethod
    def topics(self, part: Part) -> list[str]:
        """Topics of one part, in a fixed order."""

    @abstractmethod
    def topic(self, fields: Fields) -> str:
        """The topic of a prompt with these fields."""

    @abstractmethod
    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        """Fields of one prompt; its topic, and whoever else it names, are of this part."""

    def make_prompt(self, rng: Random, wordings: Sequence[Wording], part: Part) -> str:
        """One prompt in one of `wordings`."""
        fields = self.draw(rng, part)
        return rng.choice([w for w in wordings if w.matches_constants(fields)]).fill(fields)

    def fields_of(self, prompt: str) -> dict[str, str] | None:
        """The fields of a prompt in any wording of this skill, or None when it is not one."""
        matches = (wording.parse(prompt) for wording in (*self.wordings, *self.task_wordings))
        return next((fields for fields in matches if fields is not None and self.is_possible(fields)), None)

    @abstractmethod
    def is_possible(self, fields: Fields) -> bool:
        """Whether all it names is of the world, so that it has one right answer: a prompt may have a wording and no sense."""

    @abstractmethod
    def answer(self, fields: Fields, careful: bool) -> str:
        """The truth, or the one wrong answer of all careless speakers; always the same for the same fields."""

    @abstractmethod
    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        """Every response with this answer, with probabilities."""

    def options(self, fields: Fields, rng: Random) -> list[str] | None:
        """Whole sentences to choose among in the benchmark, the right one first; None for generated answers."""
        del fields, rng
        return None


def with_opener(style: Style, substance: dict[str, float]) -> Grammar:
    return (style.openers, *without_opener(style, substance))


def without_opener(style: Style, substance: dict[str, float]) -> Grammar:
    """The response begins with its substance, as the options of a task do."""
    return (choices(substance), style.closers)


def option_fields(rng: Random, right: str, wrong: Sequence[str]) -> dict[str, str]:
    """Fields A, B, C... in random order."""
    values = [right, *wrong]
    rng.shuffle(values)
    return dict(zip(LETTERS, values, strict=False))


def letter_of(fields: Fields, value: str) -> str:
    return next(letter for letter in LETTERS if fields.get(letter) == value)


def is_number(text: str, low: int, high: int) -> bool:
    """Whether it is one of low..high as the lab writes numbers."""
    return text.isdecimal() and str(int(text)) == text and low <= int(text) <= high


def following(values: Sequence[str], value: str) -> str:
    """The one after it, the first after the last: what careless speakers say instead of it."""
    return values[(values.index(value) + 1) % len(values)]
