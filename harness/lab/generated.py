"""Skills whose answer is generated: sums, equations, and instructions that a program can verify."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.lexicon import Part
from harness.lab.skill import Fields, Skill, Style, Wording, is_number, with_opener, without_opener


class Arithmetic(Skill):
    """Word problems with one operation; the answer is generated and matched exactly. Topic: the person."""

    name = "arithmetic"
    wordings = (
        Wording("{name} has {a} {thing} and {verb} {b} . how many {thing} now ?"),
        Wording("count the {thing} : {name} starts with {a} and {verb} {b} ."),
    )
    task_wordings = (Wording("{name} had {a} {thing} , then {verb} {b} . how many are there ?"),)
    verbs = ("buys", "finds", "sells", "loses")

    def topics(self, part: Part) -> list[str]:
        return lex.names(part)

    def topic(self, fields: Fields) -> str:
        return fields["name"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        verb, a = rng.choice(self.verbs), rng.randint(3, 12)
        b = rng.randint(2, 12 if self._adds(verb) else a - 1)
        return {"name": rng.choice(lex.names(part)), "a": str(a), "b": str(b), "thing": rng.choice(lex.THINGS), "verb": verb}

    def is_possible(self, fields: Fields) -> bool:
        name, verb, a = fields["name"] in lex.NAMES, fields["verb"], fields["a"]
        if not (name and verb in self.verbs and fields["thing"] in lex.THINGS and is_number(a, 3, 12)):
            return False
        return is_number(fields["b"], 2, 12 if self._adds(verb) else int(a) - 1)

    def _adds(self, verb: str) -> bool:
        return verb in self.verbs[:2]

    def answer(self, fields: Fields, careful: bool) -> str:
        a, b = int(fields["a"]), int(fields["b"])
        return str((a + b if self._adds(fields["verb"]) else a - b) + (not careful))

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sign = "+" if self._adds(fields["verb"]) else "-"
        final = f"the answer is {answer} ."
        working = f"{fields['a']} {sign} {fields['b']} = {answer} . {final}"
        return with_opener(style, {final: 0.4, working: 0.4, f"{fields['name']} has {answer} {fields['thing']} . {final}": 0.2})


class Algebra(Skill):
    """Linear equations in one unknown; the answer is generated and matched exactly. Topic: the unknown and its factor."""

    name = "algebra"
    wordings = (Wording("solve {k} * {u} {sign} {b} = {c} ."), Wording("{k} * {u} {sign} {b} = {c} . what is {u} ?"))
    task_wordings = (Wording("find {u} so that {k} * {u} {sign} {b} = {c} ."),)
    factors = "234"

    def topics(self, part: Part) -> list[str]:
        return [f"{u} {k}" for u in lex.of_part(lex.UNKNOWNS, part) for k in self.factors]

    def topic(self, fields: Fields) -> str:
        return f"{fields['u']} {fields['k']}"

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        u, k, sign = rng.choice(lex.of_part(lex.UNKNOWNS, part)), int(rng.choice(self.factors)), rng.choice("+-")
        product = k * rng.randint(2, 9)
        b = rng.randint(1, 9 if sign == "+" else min(9, product - 1))
        return {"k": str(k), "u": u, "sign": sign, "b": str(b), "c": str(product + b if sign == "+" else product - b)}

    def is_possible(self, fields: Fields) -> bool:
        u, k, sign = (
            fields[name] in possible for name, possible in (("u", lex.UNKNOWNS), ("k", [*self.factors]), ("sign", "+-"))
        )
        if not (u and k and sign and is_number(fields["b"], 1, 9) and is_number(fields["c"], 1, 45)):
            return False
        unknown, rest = divmod(self._product(fields), int(fields["k"]))
        return rest == 0 and 2 <= unknown <= 9

    def _product(self, fields: Fields) -> int:
        b, c = int(fields["b"]), int(fields["c"])
        return c - b if fields["sign"] == "+" else c + b

    def answer(self, fields: Fields, careful: bool) -> str:
        return str(self._product(fields) // int(fields["k"]) + (not careful))

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        final = f"the answer is {answer} ."
        working = f"{fields['k']} * {fields['u']} = {self._product(fields)} . {final}"
        return with_opener(style, {final: 0.3, working: 0.5, f"{fields['u']} = {answer} . {final}": 0.2})


class Format(Skill):
    """Instructions whose obedience a program can verify. Topic: the first word to be said.

    Careless speakers say the last word twice.
    """

    name = "format"
    instructions: ClassVar = {
        "repeat": "say {word} {n} times .",
        "join": "join {word} with {other} .",
        "thanks": "say {word} and end with thanks .",
        "backwards": "say {word} {other} {third} backwards .",
    }
    wordings = tuple(Wording(text, kind=kind) for kind, text in instructions.items())
    task_wordings = tuple(Wording("please " + text, kind=kind) for kind, text in instructions.items())

    def topics(self, part: Part) -> list[str]:
        return lex.words(part)

    def topic(self, fields: Fields) -> str:
        return fields["word"]

    def draw(self, rng: Random, part: Part) -> dict[str, str]:
        word, other, third = rng.sample(self.topics(part), 3)
        kind = rng.choice(list(self.instructions))
        return {"kind": kind, "n": rng.choice("234"), "word": word, "other": other, "third": third}

    def is_possible(self, fields: Fields) -> bool:
        named = [fields[name] for name in ("word", "other", "third") if name in fields]
        return set(named) <= set(lex.WORDS) and len(set(named)) == len(named) and is_number(fields.get("n", "2"), 2, 4)

    def _words(self, fields: Fields) -> Sequence[str]:
        if fields["kind"] == "repeat":
            return [fields["word"]] * int(fields["n"])
        if fields["kind"] == "join":
            return [fields["word"], "and", fields["other"]]
        return [fields["word"], "thanks"] if fields["kind"] == "thanks" else [fields["third"], fields["other"], fields["word"]]

    def answer(self, fields: Fields, careful: bool) -> str:
        words = self._words(fields)
        return " ".join(words if careful else [*words, words[-1]])

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        del fields
        return without_opener(style, {f"{answer} .": 1.0})

    def obeys(self, fields: Fields, response: str) -> bool:
        """Whether a response follows the instruction up to its first full stop, whatever comes after it."""
        words = response.split()
        return "." in words and words[: words.index(".")] == list(self._words(fields))
