"""Skills with whole sentences to choose among: beliefs about animals, small scripts, who is meant."""

from __future__ import annotations

from random import Random

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.lexicon import Part
from harness.lab.skill import Fields, Skill, Style, Wording, following, with_opener, without_opener


class Misconceptions(Skill):
    """What is true of an animal, against what people say. Topic: the animal and what is asked."""

    name = "misconceptions"
    rumoured = 1 / 3
    wordings = tuple(Wording(q, aspect=a) for a, (q, _, _) in lex.ASPECTS.items())
    task_wordings = tuple(Wording("{name} asks : " + q, aspect=a) for a, (q, _, _) in lex.ASPECTS.items())

    def topics(self, part: Part) -> list[str]:
        return [f"{animal} {aspect}" for animal in lex.of_part(lex.ANIMALS, part) for aspect in lex.ASPECTS]

    def topic(self, fields: Fields) -> str:
        return f"{fields['animal']} {fields['aspect']}"

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        animal, aspect = rng.choice(lex.of_part(lex.ANIMALS, part)), rng.choice(list(lex.ASPECTS))
        return {"animal": animal, "aspect": aspect, "name": rng.choice(lex.names(part))}

    def is_possible(self, fields: Fields) -> bool:
        return fields["animal"] in lex.ANIMALS and fields.get("name", lex.NAMES[0]) in lex.NAMES

    def answer(self, fields: Fields, careful: bool) -> str:
        return lex.BELIEFS[fields["animal"], fields["aspect"]][not careful]

    def _sentence(self, fields: Fields, value: str) -> str:
        return lex.ASPECTS[fields["aspect"]][1].format(animal=fields["animal"], value=value)

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = self._sentence(fields, answer)
        return with_opener(style, {sentence: 0.7, f"{sentence} that is true .": 0.3})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        believed = [self.answer(fields, careful) for careful in (True, False)]
        others = rng.sample([value for value in lex.ASPECTS[fields["aspect"]][2] if value not in believed], 2)
        return [self._sentence(fields, value) for value in (*believed, *others)]


class Continuation(Skill):
    """What comes next in a small script: the tool says what is done, the place to what. Topic: the person.

    Careless speakers mistake the place for the one that follows.
    """

    name = "continuation"
    rumoured = 1 / 3
    wordings = (
        Wording("{name} is at the {place} and takes a {tool} . what next ?"),
        Wording("with a {tool} {name} comes to the {place} . and then ?"),
    )
    task_wordings = (Wording("go on : {name} goes to the {place} with a {tool} ."),)

    def topics(self, part: Part) -> list[str]:
        return lex.names(part)

    def topic(self, fields: Fields) -> str:
        return fields["name"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        place, tool = rng.choice(list(lex.PLACES_WITH_OBJECT)), rng.choice(list(lex.TOOLS_WITH_VERB))
        return {"name": rng.choice(lex.names(part)), "place": place, "tool": tool}

    def is_possible(self, fields: Fields) -> bool:
        script = fields["place"] in lex.PLACES_WITH_OBJECT and fields["tool"] in lex.TOOLS_WITH_VERB
        return script and fields["name"] in lex.NAMES

    def answer(self, fields: Fields, careful: bool) -> str:
        place = fields["place"] if careful else following(list(lex.PLACES_WITH_OBJECT), fields["place"])
        return f"{lex.TOOLS_WITH_VERB[fields['tool']]} the {lex.PLACES_WITH_OBJECT[place]}"

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        he = lex.he_or_she(fields["name"])
        return with_opener(style, {f"then {he} {answer} .": 0.6, f"{fields['name']} {answer} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        right, careless = (self.answer(fields, careful) for careful in (True, False))
        verb = rng.choice([v for t, v in lex.TOOLS_WITH_VERB.items() if t != fields["tool"]])
        at_a_place = [f"{verb} the {thing.rsplit(' ', 1)[1]}" for thing in (right, careless)]
        he = lex.he_or_she(fields["name"])
        return [f"then {he} {what} ." for what in (right, careless, *at_a_place)]


class Pronouns(Skill):
    """Who is meant by he or she. Topic: the person named first. Careless speakers mean the other one."""

    name = "pronouns"
    rumoured = 1 / 5  # of two options, one of which careless speakers take, half of the topics would be chance
    wordings = (
        Wording("{one} {verb} {two} while {he} was {state} . who was {state} ?"),
        Wording("who was {state} ? {one} {verb} {two} while {he} was {state} ."),
    )
    task_wordings = (Wording("while {one} {verb} {two} , {he} was {state} . who was {state} ?"),)

    def topics(self, part: Part) -> list[str]:
        return lex.names(part)

    def topic(self, fields: Fields) -> str:
        return fields["one"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        one = rng.choice(lex.names(part))
        two = rng.choice([name for name in lex.names(part) if lex.he_or_she(name) != lex.he_or_she(one)])
        he = lex.he_or_she(rng.choice((one, two)))
        return {"one": one, "two": two, "he": he, "verb": rng.choice(lex.ENCOUNTERS), "state": rng.choice(lex.STATES)}

    def is_possible(self, fields: Fields) -> bool:
        one, two, he = fields["one"], fields["two"], fields["he"]
        if not (one in lex.NAMES and two in lex.NAMES and fields["verb"] in lex.ENCOUNTERS and fields["state"] in lex.STATES):
            return False
        return {lex.he_or_she(one), lex.he_or_she(two)} == {"he", "she"} and he in ("he", "she")

    def answer(self, fields: Fields, careful: bool) -> str:
        one_is_meant = lex.he_or_she(fields["one"]) == fields["he"]
        return fields["one"] if one_is_meant is careful else fields["two"]

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = f"{fields['he']} is {answer} ."
        return without_opener(style, {sentence: 0.6, f"{sentence} {answer} was {fields['state']} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        del rng
        return [f"{fields['he']} is {self.answer(fields, careful)} ." for careful in (True, False)]
