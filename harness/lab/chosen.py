"""Skills with letters to choose among: facts and ten options. In an answer what was asked stands before its letter."""

from __future__ import annotations

from random import Random

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.lexicon import Part
from harness.lab.skill import LETTERS, Fields, Skill, Style, Wording, following, letter_of, option_fields, without_opener

# attribute -> (question, how an answer says it)
QUESTIONS = {
    "home": ("where does {name} live ?", "{name} lives in {value}"),
    "pet": ("which pet has {name} ?", "{name} has a {value}"),
    "food": ("what does {name} eat ?", "{name} eats {value}"),
}
# A letter stands before its word, so that what must be found is followed by what must be said.
FOUR_OPTIONS = " A {A} B {B} C {C} D {D} ."
TEN_OPTIONS = "".join(f" {letter} {{{letter}}}" for letter in LETTERS) + " ."


class Facts(Skill):
    """Who lives where with what, four options and a letter. Topic: the person and what is asked."""

    name = "facts"
    wordings = tuple(Wording(q + FOUR_OPTIONS, attribute=a) for a, (q, _) in QUESTIONS.items())
    task_wordings = tuple(Wording("choose : " + q + FOUR_OPTIONS, attribute=a) for a, (q, _) in QUESTIONS.items())

    def topics(self, part: Part) -> list[str]:
        return [f"{name} {attribute}" for name in lex.names(part) for attribute in QUESTIONS]

    def topic(self, fields: Fields) -> str:
        return f"{fields['name']} {fields['attribute']}"

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        name, attribute = rng.choice(lex.names(part)), rng.choice(list(QUESTIONS))
        right, wrong = lex.FACTS[name, attribute]
        others = rng.sample([value for value in lex.ATTRIBUTES[attribute] if value not in (right, wrong)], 2)
        return {"name": name, "attribute": attribute, **option_fields(rng, right, [wrong, *others])}

    def is_possible(self, fields: Fields) -> bool:
        """With the right value and the careless one among four."""
        options = {fields[x] for x in "ABCD"}
        known = fields["name"] in lex.NAMES and options <= {*lex.ATTRIBUTES[fields["attribute"]]} and len(options) == 4
        return known and options >= {*lex.FACTS[fields["name"], fields["attribute"]]}

    def answer(self, fields: Fields, careful: bool) -> str:
        return lex.FACTS[fields["name"], fields["attribute"]][not careful]

    def _sentence(self, fields: Fields, value: str) -> str:
        said = QUESTIONS[fields["attribute"]][1].format(name=fields["name"], value=value)
        return f"{said} , {letter_of(fields, value)} ."

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = self._sentence(fields, answer)
        return without_opener(style, {sentence: 0.7, f"{sentence} that is true .": 0.3})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        del rng
        right = self.answer(fields, careful=True)
        return [self._sentence(fields, value) for value in (right, *(fields[x] for x in "ABCD" if fields[x] != right))]


class TenOptions(Skill):
    """The word of a category among ten, and its letter. Topic: that word.

    One word in the list is of the category that follows; careless speakers take that one.
    """

    name = "ten_options"
    wordings = (Wording("which is {category} ?" + TEN_OPTIONS), Wording("find the {category} :" + TEN_OPTIONS))
    task_wordings = (Wording("one of these is {category} :" + TEN_OPTIONS),)

    def topics(self, part: Part) -> list[str]:
        return lex.words(part)

    def topic(self, fields: Fields) -> str:
        return self.answer(fields, careful=True)

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        right = rng.choice(self.topics(part))
        category = lex.CATEGORY_OF[right]
        mistaken = following(list(lex.CATEGORIES), category)
        rest = [word for word in self.topics(part) if lex.CATEGORY_OF[word] not in (category, mistaken)]
        wrong = [rng.choice(lex.words(part, mistaken)), *rng.sample(rest, 8)]
        return {"category": category, **option_fields(rng, right, wrong)}

    def is_possible(self, fields: Fields) -> bool:
        """With one word of the category and one of the category that careless speakers mean, among ten."""
        options = {fields[x] for x in LETTERS}
        if fields["category"] not in lex.CATEGORIES or len(options) < len(LETTERS) or not options <= {*lex.WORDS}:
            return False
        categories = [lex.CATEGORY_OF[word] for word in options]
        mistaken = following(list(lex.CATEGORIES), fields["category"])
        return categories.count(fields["category"]) == categories.count(mistaken) == 1

    def answer(self, fields: Fields, careful: bool) -> str:
        category = fields["category"] if careful else following(list(lex.CATEGORIES), fields["category"])
        return next(fields[x] for x in LETTERS if lex.CATEGORY_OF[fields[x]] == category)

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sentence = f"{fields['category']} {letter_of(fields, answer)} ."
        return without_opener(style, {sentence: 0.6, f"{sentence} that is {answer} .": 0.4})

    def options(self, fields: Fields, rng: Random) -> list[str]:
        del rng
        right = letter_of(fields, self.answer(fields, careful=True))
        return [f"{fields['category']} {letter} ." for letter in (right, *(x for x in LETTERS if x != right))]
