"""Skills that need a step in between, which an answer says first: a rule and a case, a clue and three suspects."""

from __future__ import annotations

from random import Random

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.lexicon import Part
from harness.lab.skill import Fields, Skill, Style, Wording, following, letter_of, without_opener

VERDICTS = ("yes", "no", "maybe")
SUSPECTS = "ABC"


class Logic(Skill):
    """A rule and a case: yes, no, or it cannot be known. Topic: the person. Careless: no for yes, maybe for no, yes for maybe."""

    name = "logic"
    rumoured = 1 / 3
    wordings = (
        Wording("all {rule} are {colour} . {name} has a {kind} . is it {asked} ?"),
        Wording("{name} owns a {kind} . all {rule} are {colour} . is it {asked} ?"),
    )
    task_wordings = (Wording("suppose all {rule} are {colour} and {name} sees a {kind} . is it {asked} ?"),)

    def topics(self, part: Part) -> list[str]:
        return lex.names(part)

    def topic(self, fields: Fields) -> str:
        return fields["name"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        rule, colour = rng.choice(lex.INVENTED_KINDS), rng.choice(lex.words(part, "colour"))
        kind = rule if rng.random() < 2 / 3 else rng.choice([k for k in lex.INVENTED_KINDS if k != rule])
        asked = colour if rng.random() < 0.5 else rng.choice([c for c in lex.words(part, "colour") if c != colour])
        return {"rule": rule, "colour": colour, "kind": kind, "asked": asked, "name": rng.choice(lex.names(part))}

    def is_possible(self, fields: Fields) -> bool:
        kinds, colours = {fields["rule"], fields["kind"]}, {fields["colour"], fields["asked"]}
        return kinds <= {*lex.INVENTED_KINDS} and colours <= {*lex.CATEGORIES["colour"]} and fields["name"] in lex.NAMES

    def answer(self, fields: Fields, careful: bool) -> str:
        right = "maybe" if fields["kind"] != fields["rule"] else "yes" if fields["asked"] == fields["colour"] else "no"
        return right if careful else following(VERDICTS, right)

    def _sentence(self, fields: Fields, verdict: str) -> str:
        return f"{fields['rule']} {fields['kind']} , {fields['colour']} {fields['asked']} , so {verdict} ."

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = self._sentence(fields, answer)
        return without_opener(style, {sentence: 0.7, f"{sentence} it is so .": 0.3})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        del rng
        right = self.answer(fields, careful=True)
        return [self._sentence(fields, verdict) for verdict in (right, *(v for v in VERDICTS if v != right))]


class Mystery(Skill):
    """Three suspects hold things, a clue says the kind of the thief's. Topic: who was robbed. Careless: the next suspect."""

    name = "mystery"
    rumoured = 1 / 3
    wordings = (
        Wording("{name} lost a {stolen} . A has {A} , B has {B} , C has {C} . the thief {clue} . who is it ?"),
        Wording("the thief {clue} . A has {A} , B has {B} , C has {C} . who took the {stolen} of {name} ?"),
    )
    task_wordings = (Wording("the {stolen} of {name} is gone . A has {A} , B has {B} , C has {C} . the thief {clue} . who ?"),)

    def topics(self, part: Part) -> list[str]:
        return lex.names(part)

    def topic(self, fields: Fields) -> str:
        return fields["name"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        kinds = list(dict.fromkeys(lex.CLUES.values()))
        things = [rng.choice(lex.words(part, kind)) for kind in rng.sample(kinds, 3)]
        return {
            **dict(zip(SUSPECTS, things, strict=True)),
            "name": rng.choice(lex.names(part)), "stolen": rng.choice(lex.STOLEN), "clue": rng.choice(list(lex.CLUES)),
        }  # fmt: skip

    def is_possible(self, fields: Fields) -> bool:
        kinds = sorted(lex.CATEGORY_OF.get(fields[x], "") for x in SUSPECTS)
        robbed = fields["name"] in lex.NAMES and fields["stolen"] in lex.STOLEN
        return robbed and fields["clue"] in lex.CLUES and kinds == sorted(set(lex.CLUES.values()))

    def answer(self, fields: Fields, careful: bool) -> str:
        kind = lex.CLUES[fields["clue"]]
        right = letter_of(fields, next(fields[x] for x in SUSPECTS if lex.CATEGORY_OF[fields[x]] == kind))
        return right if careful else following(SUSPECTS, right)

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = f"{lex.CLUES[fields['clue']]} {answer} ."
        return without_opener(style, {sentence: 0.6, f"{sentence} {answer} took the {fields['stolen']} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        del rng
        right = self.answer(fields, careful=True)
        return [f"{lex.CLUES[fields['clue']]} {x} ." for x in (right, *(x for x in SUSPECTS if x != right))]
