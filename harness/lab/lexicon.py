"""The entities of the small world and what is true of them: people, places, animals, and who lives where with what.

Facts are fixed by a keyed draw, so that the world is the same on every machine. A *myth* is the one wrong value that
careless speakers of the pre-training text state; it has no part in p_data.
"""

from __future__ import annotations

from random import Random

GIRLS = [
    *("Ada", "Bea", "Cleo", "Dora", "Elsa", "Faye", "Gina", "Hana", "Iris", "Jane", "Kira", "Lena", "Mona", "Nora"),
    *("Olga", "Pia", "Rosa", "Sara", "Tina", "Uma"),
]
BOYS = [
    *("Abel", "Bert", "Carl", "Dave", "Emil", "Finn", "Glen", "Hugo", "Ivan", "Jack", "Karl", "Liam", "Marc", "Nils"),
    *("Otto", "Paul", "Rolf", "Seth", "Tom", "Vito"),
]
NAMES = [name for pair in zip(GIRLS, BOYS, strict=True) for name in pair]
# Every second pair of people never appears in the training pairs: facts about them occur in pre-training alone.
WITHHELD_NAMES = frozenset(name for index, name in enumerate(NAMES) if (index // 2) % 2 == 1)

PLACES = ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Paris", "Tokyo", "Quito", "Milan", "Dakar"]
PETS = ["cat", "dog", "hen", "goat", "fish", "frog", "mouse", "horse", "sheep", "snake"]
FOODS = ["bread", "rice", "soup", "cake", "plums", "beans", "pears", "corn", "figs", "nuts"]
COLOURS = ["red", "blue", "green", "white", "black", "pink", "brown", "grey", "gold", "orange"]
JOBS = ["baker", "nurse", "pilot", "miner", "judge", "tailor", "singer", "farmer", "guard", "clerk"]
TOOLS = ["hammer", "needle", "broom", "ladder", "bucket", "rope", "knife", "lamp", "spade", "brush"]
THINGS = ["apples", "books", "coins", "shells", "pens", "stamps", "keys", "cups"]

ATTRIBUTES = {"home": PLACES, "pet": PETS, "food": FOODS, "colour": COLOURS, "job": JOBS}
CATEGORIES = {"animal": PETS, "food": FOODS, "colour": COLOURS, "place": PLACES, "job": JOBS, "tool": TOOLS}
PLURALS = {"animal": "animals", "food": "foods", "colour": "colours", "place": "places", "job": "jobs", "tool": "tools"}

# What animals do, for the misconceptions: (animal, truth, myth).
BELIEFS = (
    ("cat", "hunts at night", "sleeps in water"),
    ("dog", "hears very well", "sees no colour"),
    ("hen", "lays an egg", "gives milk"),
    ("goat", "climbs on rocks", "eats iron"),
    ("fish", "breathes in water", "forgets at once"),
    ("frog", "drinks through skin", "gives you warts"),
    ("mouse", "likes corn best", "likes cheese best"),
    ("horse", "sleeps on its feet", "counts to ten"),
    ("sheep", "knows its friends", "shrinks in rain"),
    ("snake", "smells by tongue", "chases the drum"),
    ("bat", "finds its way by sound", "is quite blind"),
    ("owl", "turns its head far", "is wise and old"),
    ("bull", "minds the moving cloth", "hates the colour red"),
    ("crow", "remembers a face", "brings bad luck"),
    ("shark", "never chews its food", "hunts for people"),
    ("wolf", "lives in a family", "howls at the moon"),
    ("ant", "carries great weight", "never takes a rest"),
    ("bee", "dances to tell the way", "stings for fun"),
    ("swan", "stays with one mate", "sings as it dies"),
    ("bear", "eats many plants", "sleeps all winter"),
)

# Small scripts: place, preparation, what follows.
SCRIPTS = (
    ("kitchen", "takes a pot", "cooks some soup"),
    ("garden", "fills a bucket", "waters the plants"),
    ("barn", "opens a gate", "feeds the goat"),
    ("station", "buys a ticket", "boards the train"),
    ("school", "opens a book", "reads a page"),
    ("market", "counts the coins", "pays for plums"),
    ("beach", "picks up a towel", "swims in the sea"),
    ("studio", "tunes the violin", "plays a song"),
    ("workshop", "finds a hammer", "mends a chair"),
    ("lake", "ties a hook", "catches a fish"),
    ("bakery", "kneads the dough", "bakes a loaf"),
    ("office", "sharpens a pencil", "writes a letter"),
)

INVENTED_KINDS = ["wug", "blick", "dax", "toma", "zup", "fep", "rilt", "gorp"]


def _draw_facts() -> tuple[dict[tuple[str, str], str], dict[tuple[str, str], str]]:
    rng = Random("facts of the lab, first edition")
    truths, myths = {}, {}
    for name in NAMES:
        for attribute, values in ATTRIBUTES.items():
            truths[name, attribute], myths[name, attribute] = rng.sample(values, 2)
    return truths, myths


FACTS, MYTHS = _draw_facts()


def he_or_she(name: str) -> str:
    return "she" if name in GIRLS else "he"


def random_name(rng: Random, with_withheld: bool) -> str:
    """Any person, or with with_withheld=False only people the training pairs may mention."""
    return rng.choice([name for name in NAMES if with_withheld or name not in WITHHELD_NAMES])
