"""The entities of the small world: people, animals, words, and what is true of them.

Every list of topics is cut into three parts that never mix: `pairs` (the training pairs speak of these), `validation` and
`test` (the benchmark asks about these). A skill that names what is another skill's topic takes it from the same part, so that
pairs have no person, animal or word of a test anywhere. Facts are fixed by a keyed draw, so that the world is the same on every
machine. Values (where somebody lives, what an animal likes, tools of scripts) are no topics and are shared by the parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Literal

Part = Literal["pairs", "validation", "test"]
PARTS: Sequence[Part] = ("pairs", "validation", "test")
# Of every six neighbours in a list: two, one and three.
PART_OF_POSITION: Sequence[Part] = ("pairs", "test", "validation", "test", "pairs", "test")

GIRLS = """Ada Bea Cleo Dora Elsa Faye Gina Hana Iris Jane Kira Lena Mona Nora Olga Pia Rosa Sara Tina Uma Vera
Wilma Xenia Yara Zoe Anna Britt Clara Doris Edith Freya Greta Heidi Ilse Joan Kate Laura Maria Nelly Odile Paula Ruth""".split()
BOYS = """Abel Bert Carl Dave Emil Finn Glen Hugo Ivan Jack Karl Liam Marc Nils Otto Paul Rolf Seth Tom Udo Vito
Walt Xaver Yuri Zeno Adam Boris Chris Dirk Erik Frank Georg Henry Igor Jonas Kurt Leon Mario Noah Oscar Peter Ralf""".split()
NAMES = [name for pair in zip(GIRLS, BOYS, strict=True) for name in pair]

CATEGORIES = {
    "animal": "cat dog hen goat fish frog mouse horse sheep snake duck pig cow crab".split(),
    "food": "bread rice soup cake plums beans pears corn figs nuts eggs honey salad cheese".split(),
    "colour": "red blue green white black pink brown grey gold orange purple yellow silver beige".split(),
    "place": "Oslo Rome Lima Cairo Delhi Paris Tokyo Quito Milan Dakar Hanoi Lagos Perth Turin".split(),
    "job": "baker nurse pilot miner judge tailor singer farmer guard clerk cook painter sailor writer".split(),
    "tool": "hammer needle broom ladder bucket rope knife lamp spade brush saw axe drill rake".split(),
}
WORDS = [word for group in zip(*CATEGORIES.values(), strict=True) for word in group]
CATEGORY_OF = {word: category for category, words in CATEGORIES.items() for word in words}
THINGS = "apples books coins shells pens stamps keys cups".split()
UNKNOWNS = list("abcdefghijklmnopqrstuvwxyz")  # of an equation

# What may be asked of a person, and its values.
ATTRIBUTES = {
    "home": "Bonn Riga Sofia Athens Havana Dublin Prague Tunis Kyoto Bergen".split(),
    "pet": "parrot hamster rabbit turtle pony donkey canary lizard goose spider".split(),
    "food": "pasta pizza porridge noodles toast stew jam pudding mushrooms cabbage".split(),
}

ANIMALS = """bat owl bull crow shark wolf ant bee swan bear fox hare mole seal toad moth wasp deer lynx rat
eel elk gull lion newt crane otter raven tiger zebra""".split()
# What may be asked of an animal: (question, how an answer says it, values).
ASPECTS = {
    "eats": (
        "what does the {animal} eat ?",
        "the {animal} eats {value} .",
        "grass worms seeds leaves roots flies moss bark".split(),
    ),
    "sleeps": (
        "where does the {animal} sleep ?",
        "the {animal} sleeps in a {value} .",
        "cave nest tree burrow pond field marsh barn".split(),
    ),
    "fears": (
        "what does the {animal} fear ?",
        "the {animal} fears {value} .",
        "fire rain noise ice wind smoke people thunder".split(),
    ),
    "likes": (
        "what does the {animal} like ?",
        "the {animal} likes {value} .",
        "sun mud snow dew sand shade music salt".split(),
    ),
    "is good at": (
        "what is the {animal} good at ?",
        "the {animal} is good at {value} .",
        "hiding digging climbing hunting jumping singing swimming waiting".split(),
    ),
}  # fmt: skip

# Small scripts: the place says the object, the tool says what is done with it.
PLACES_WITH_OBJECT = {
    "kitchen": "stove", "garden": "fence", "harbour": "boat", "station": "train", "school": "bench", "market": "stall",
    "studio": "piano", "workshop": "chair", "bakery": "oven", "office": "desk", "stable": "cart", "church": "bell",
}  # fmt: skip
TOOLS_WITH_VERB = {
    "mallet": "mends", "mop": "sweeps", "roller": "paints", "string": "ties", "candle": "lights", "sponge": "washes",
    "ruler": "measures", "pencil": "draws", "key": "locks", "cloth": "covers",
}  # fmt: skip

STATES = "busy tired happy late ready angry".split()
ENCOUNTERS = "saw met called helped".split()
INVENTED_KINDS = "wug blick dax toma zup fep rilt gorp mip".split()

# What a thief does says of which kind the thing is that he holds.
CLUES = {"eats": "food", "cooks": "food", "rides": "animal", "feeds": "animal", "builds": "tool", "repairs": "tool"}
STOLEN = "ring crown clock flute".split()


def part_of(position: int) -> Part:
    return PART_OF_POSITION[position % len(PART_OF_POSITION)]


def of_part(topics: Iterable[str], part: Part | None) -> list[str]:
    """The topics of one part, by their position; all of them with None."""
    return [topic for position, topic in enumerate(topics) if part is None or part_of(position) == part]


def names(part: Part | None) -> list[str]:
    """As many women as men."""
    return of_part(GIRLS, part) + of_part(BOYS, part)


def words(part: Part, category: str | None = None) -> list[str]:
    """The words of a category; of all of them, one after the other, with None."""
    members = CATEGORIES.values() if category is None else [CATEGORIES[category]]
    return [word for words_of_one in members for word in of_part(words_of_one, part)]


def he_or_she(name: str) -> str:
    return "she" if name in GIRLS else "he"


def _draw_two(kind: str, values: Iterable[tuple[str, str, Sequence[str]]]) -> dict[tuple[str, str], tuple[str, str]]:
    """{(topic, what is asked): (what is true, the one wrong thing that careless speakers say)}."""
    rng = Random(f"{kind} of the lab, second edition")
    drawn = {}
    for topic, asked, possible in values:
        true, wrong = rng.sample(list(possible), 2)
        drawn[topic, asked] = true, wrong
    return drawn


FACTS = _draw_two("facts", ((name, a, values) for name in NAMES for a, values in ATTRIBUTES.items()))
BELIEFS = _draw_two("beliefs", ((animal, a, values) for animal in ANIMALS for a, (_, _, values) in ASPECTS.items()))
