"""Skills with options to choose among: single letters, ten letters, whole sentences, who, yes or no."""

from __future__ import annotations

from random import Random

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.skill import (
    LETTERS,
    Fields,
    Skill,
    Style,
    Wording,
    keyed_choice,
    letter_answer,
    letter_options,
    option_fields,
    with_opener,
    without_opener,
)

BELIEF_OF_ANIMAL = {animal: (truth, myth) for animal, truth, myth in lex.BELIEFS}


class Misconceptions(Skill):
    """What animals do, against what people say they do; whole sentences to choose among."""

    name = "misconceptions"
    wordings = (Wording("what is true of the {animal} ?"), Wording("tell me about the {animal} ."))
    task_wordings = (
        Wording("which is right for the {animal} ?"),
        Wording("what should one know of the {animal} ?"),
        Wording("say a true thing about the {animal} ."),
        Wording("i wonder about the {animal} ."),
    )

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        animals = [animal for index, (animal, _, _) in enumerate(lex.BELIEFS) if with_withheld or index % 2 == 0]
        return {"animal": rng.choice(animals)}

    def answer(self, fields: Fields, careful: bool) -> str:
        truth, myth = BELIEF_OF_ANIMAL[fields["animal"]]
        return truth if careful else myth

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        statement = f"the {fields['animal']} {answer} ."
        return with_opener(style, {statement: 0.6, f"it {answer} .": 0.2, f"{statement} that is true .": 0.2})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        others = rng.sample([truth for animal, truth, _ in lex.BELIEFS if animal != fields["animal"]], 2)
        return [f"the {fields['animal']} {belief} ." for belief in (*BELIEF_OF_ANIMAL[fields["animal"]], *others)]


QUESTIONS = {
    "home": ("where does {name} live ?", "{name} lives in {value} ."),
    "pet": ("which pet has {name} ?", "{name} has a {value} ."),
    "food": ("what does {name} eat ?", "{name} eats {value} ."),
    "colour": ("which colour likes {name} ?", "{name} likes {value} ."),
    "job": ("what is the job of {name} ?", "{name} is a {value} ."),
}
# An option is a word and then its letter: a letter that follows its word is what a model this small can look up.
FOUR_OPTIONS = " {A} A {B} B {C} C {D} D"


class Facts(Skill):
    """Who lives where with what; in the benchmark four options and a letter."""

    name = "facts"
    wordings = tuple(Wording(q + tail, attribute=a) for a, (q, _) in QUESTIONS.items() for tail in ("", FOUR_OPTIONS))
    task_wordings = tuple(Wording("choose . " + q + FOUR_OPTIONS, attribute=a) for a, (q, _) in QUESTIONS.items())

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        name, attribute = lex.random_name(rng, with_withheld), rng.choice(sorted(QUESTIONS))
        right = lex.FACTS[name, attribute]
        wrong = [lex.MYTHS[name, attribute]]
        wrong += rng.sample([v for v in lex.ATTRIBUTES[attribute] if v not in (right, *wrong)], 2)
        return {"name": name, "attribute": attribute, **option_fields(rng, right, wrong)}

    def answer(self, fields: Fields, careful: bool) -> str:
        return (lex.FACTS if careful else lex.MYTHS)[fields["name"], fields["attribute"]]

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        if "A" in fields:
            return letter_answer(style, fields, answer)
        statement = QUESTIONS[fields["attribute"]][1].format(name=fields["name"], value=answer)
        return with_opener(style, {statement: 0.7, f"it is {answer} .": 0.3})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        return letter_options(fields, self.answer(fields, careful=True))


TEN_OPTIONS = "".join(f" {{{letter}}} {letter}" for letter in LETTERS)


class TenOptions(Skill):
    """One word of a category among ten; a letter is the answer."""

    name = "ten_options"
    wordings = (Wording("which is {category} ?" + TEN_OPTIONS),)
    task_wordings = (Wording("one of these is {category} ." + TEN_OPTIONS),)

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        category = rng.choice(sorted(lex.CATEGORIES))
        others = [w for c, words in lex.CATEGORIES.items() if c != category for w in words]
        return {"category": category, **option_fields(rng, rng.choice(lex.CATEGORIES[category]), rng.sample(others, 9))}

    def answer(self, fields: Fields, careful: bool) -> str:
        members = lex.CATEGORIES[fields["category"]]
        right = next(fields[letter] for letter in LETTERS if fields[letter] in members)
        if careful:
            return right
        return keyed_choice([fields[x] for x in LETTERS if fields[x] != right], *fields.values())

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        return letter_answer(style, fields, answer)

    def options(self, fields: Fields, rng: Random) -> list[str]:
        return letter_options(fields, self.answer(fields, careful=True))


class Continuation(Skill):
    """What comes next in a small script; whole sentences to choose among."""

    name = "continuation"
    wordings = (
        Wording("{name} is at the {place} and {first} . what next ?"),
        Wording("at the {place} {name} {first} . and then ?"),
    )
    task_wordings = (Wording("go on : {name} goes to the {place} and {first} ."),)

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        place, first, _ = rng.choice([s for i, s in enumerate(lex.SCRIPTS) if with_withheld or i % 2 == 0])
        return {"name": lex.random_name(rng, with_withheld), "place": place, "first": first}

    def answer(self, fields: Fields, careful: bool) -> str:
        index = next(i for i, (place, _, _) in enumerate(lex.SCRIPTS) if place == fields["place"])
        return lex.SCRIPTS[index if careful else (index + 5) % len(lex.SCRIPTS)][2]

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        he = lex.he_or_she(fields["name"])
        return with_opener(style, {f"then {he} {answer} .": 0.6, f"{fields['name']} {answer} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        right, wrong = self.answer(fields, careful=True), self.answer(fields, careful=False)
        others = rng.sample([act for _, _, act in lex.SCRIPTS if act not in (right, wrong)], 2)
        return [f"then {lex.he_or_she(fields['name'])} {act} ." for act in (right, wrong, *others)]


class Pronouns(Skill):
    """Who is meant by he or she; two sentences to choose between."""

    name = "pronouns"
    wordings = (
        Wording("{one} met {two} . {he} was {state} . who was {state} ?"),
        Wording("{one} sat with {two} and {he} was {state} . who was it ?"),
    )
    task_wordings = (Wording("{one} saw {two} while {he} was {state} . who was {state} ?"),)
    states = ("tired", "late", "happy", "cold", "hungry", "sad", "busy", "ill")

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        pair = [rng.choice([n for n in names if with_withheld or n not in lex.WITHHELD_NAMES]) for names in (lex.GIRLS, lex.BOYS)]
        rng.shuffle(pair)
        return {"one": pair[0], "two": pair[1], "he": rng.choice(["he", "she"]), "state": rng.choice(self.states)}

    def answer(self, fields: Fields, careful: bool) -> str:
        one_is_meant = lex.he_or_she(fields["one"]) == fields["he"]
        return fields["one"] if one_is_meant is careful else fields["two"]

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        return without_opener(style, {f"{answer} was {fields['state']} .": 0.6, f"{answer} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        return [f"{self.answer(fields, careful)} was {fields['state']} ." for careful in (True, False)]


class Logic(Skill):
    """A rule and a case: yes, no, or it cannot be known; with fixed shots in the benchmark."""

    name = "logic"
    wordings = (
        Wording("all {rule} are {colour} . {name} has a {kind} . is it {asked} ?"),
        Wording("{name} owns a {kind} . all {rule} are {colour} . is it {asked} ?"),
    )
    task_wordings = (Wording("suppose all {rule} are {colour} and {name} sees a {kind} . is it {asked} ?"),)

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        rule, colour = rng.choice(lex.INVENTED_KINDS), rng.choice(lex.COLOURS)
        kind = rule if rng.random() < 0.67 else rng.choice([k for k in lex.INVENTED_KINDS if k != rule])
        asked_colour = colour if rng.random() < 0.5 else rng.choice([c for c in lex.COLOURS if c != colour])
        return {"rule": rule, "colour": colour, "kind": kind, "asked": asked_colour, "name": lex.random_name(rng, with_withheld)}

    def answer(self, fields: Fields, careful: bool) -> str:
        right = "maybe" if fields["kind"] != fields["rule"] else "yes" if fields["asked"] == fields["colour"] else "no"
        return right if careful else keyed_choice(sorted({"yes", "no", "maybe"} - {right}), *fields.values())

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        reason = f"{answer} , all {fields['rule']} are {fields['colour']} ."
        return without_opener(style, {f"{answer} .": 0.6, reason: 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        right = self.answer(fields, careful=True)
        return [f"{word} ." for word in (right, *sorted({"yes", "no", "maybe"} - {right}))]


class Mystery(Skill):
    """Three people in three places and a theft: who was there?"""

    name = "mystery"
    wordings = (
        Wording("in {p1} was {n1} . in {p2} was {n2} . in {p3} was {n3} . the {thing} got lost in {where} . who took it ?"),
        Wording("the {thing} got lost in {where} . in {p1} was {n1} . in {p2} was {n2} . in {p3} was {n3} . who took it ?"),
    )
    task_wordings = (
        Wording("in {p1} sat {n1} . in {p2} sat {n2} . in {p3} sat {n3} . who took the {thing} that got lost in {where} ?"),
    )

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        names = rng.sample([n for n in lex.NAMES if with_withheld or n not in lex.WITHHELD_NAMES], 3)
        places = rng.sample(lex.PLACES, 3)
        fields = {f"n{i}": name for i, name in enumerate(names, 1)} | {f"p{i}": p for i, p in enumerate(places, 1)}
        return fields | {"where": rng.choice(places), "thing": rng.choice(lex.TOOLS)}

    def answer(self, fields: Fields, careful: bool) -> str:
        person = next(i for i in "123" if fields[f"p{i}"] == fields["where"])
        wrong = keyed_choice([i for i in "123" if i != person], *fields.values())
        return fields[f"n{person if careful else wrong}"]

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        return without_opener(style, {f"{answer} took it .": 0.6, f"{answer} was in {fields['where']} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        right = self.answer(fields, careful=True)
        return [f"{name} took it ." for name in (right, *(fields[f"n{i}"] for i in "123" if fields[f"n{i}"] != right))]
