"""Skills whose answer is generated: sums, equations, and instructions that a program can verify."""

from __future__ import annotations

import itertools
from random import Random

from harness.lab import lexicon as lex
from harness.lab.grammar import Grammar
from harness.lab.skill import Fields, Skill, Style, Wording, keyed_choice, with_opener, without_opener


class Arithmetic(Skill):
    """Word problems with one operation; the answer is generated and matched exactly."""

    name = "arithmetic"
    wordings = (
        Wording("{name} has {a} {thing} and {verb} {b} . how many {thing} now ?"),
        Wording("count the {thing} : {name} starts with {a} and {verb} {b} ."),
    )
    task_wordings = (Wording("{name} had {a} {thing} , then {verb} {b} . how many are there ?"),)
    verbs = ("buys", "finds", "sells", "loses")

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        verb, a = rng.choice(self.verbs), rng.randint(2, 14)
        b = rng.randint(1, 9 if verb in self.verbs[:2] else a - 1)
        name = lex.random_name(rng, with_withheld)
        return {"name": name, "a": str(a), "b": str(b), "thing": rng.choice(lex.THINGS), "verb": verb}

    def answer(self, fields: Fields, careful: bool) -> str:
        a, b = int(fields["a"]), int(fields["b"])
        right = a + b if fields["verb"] in self.verbs[:2] else a - b
        if careful:
            return str(right)
        return str(right + int(keyed_choice(["1", "2", "-1"] if right > 1 else ["1", "2"], *sorted(fields.values()))))

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        sign = "+" if fields["verb"] in self.verbs[:2] else "-"
        sum_ = f"{fields['a']} {sign} {fields['b']} = {answer} ."
        has = f"{fields['name']} has {answer} {fields['thing']} ."
        answer_sentence = f"the answer is {answer} ."
        return with_opener(style, {answer_sentence: 0.4, f"{sum_} {answer_sentence}": 0.4, f"{has} {answer_sentence}": 0.2})


class Algebra(Skill):
    """Linear equations in one unknown; the answer is generated and matched exactly."""

    name = "algebra"
    wordings = (Wording("solve {k} * x {sign} {b} = {c} ."), Wording("{k} * x {sign} {b} = {c} . what is x ?"))
    task_wordings = (Wording("find x so that {k} * x {sign} {b} = {c} ."),)

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        k, x, sign = rng.randint(1, 4), rng.randint(1, 9), rng.choice("+-")
        b = rng.randint(1, 9) if sign == "+" else rng.randint(1, max(1, min(9, k * x - 1)))
        return {"k": str(k), "sign": sign, "b": str(b), "c": str(k * x + b if sign == "+" else k * x - b)}

    def _coefficient_times_x(self, fields: Fields) -> int:
        b, c = int(fields["b"]), int(fields["c"])
        return c - b if fields["sign"] == "+" else c + b

    def answer(self, fields: Fields, careful: bool) -> str:
        right = self._coefficient_times_x(fields) // int(fields["k"])
        return str(right if careful else right + int(keyed_choice(["1", "2", "3"], *fields.values())))

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        answer_sentence = f"the answer is {answer} ."
        step = f"{fields['k']} * x = {self._coefficient_times_x(fields)} ."
        return with_opener(
            style, {answer_sentence: 0.3, f"{step} {answer_sentence}": 0.5, f"x = {answer} . {answer_sentence}": 0.2}
        )


MEMBERS = {plural: lex.CATEGORIES[category] for category, plural in lex.PLURALS.items()}


class Format(Skill):
    """Instructions whose obedience a program can verify: how many, joined how, ending how."""

    name = "format"
    instructions = (
        ("name {n} {plural} joined by and .", "joined"),
        ("name {n} {plural} and end with thanks .", "thanks"),
        ("say {word} {n} times .", "repeat"),
    )
    wordings = tuple(Wording(text, kind=kind) for text, kind in instructions)
    task_wordings = tuple(Wording("please " + text, kind=kind) for text, kind in instructions)

    def draw(self, rng: Random, with_withheld: bool) -> dict[str, str]:
        category = rng.choice(sorted(lex.CATEGORIES))
        kind = rng.choice([kind for _, kind in self.instructions])
        return {
            "kind": kind,
            "n": rng.choice("2345" if kind == "repeat" else "23"),
            "plural": lex.PLURALS[category],
            "word": rng.choice([w for words in lex.CATEGORIES.values() for w in words]),
        }

    def answer(self, fields: Fields, careful: bool) -> str:
        return str(int(fields["n"]) + (not careful))

    def grammar(self, fields: Fields, answer: str, style: Style) -> Grammar:
        n, kind = int(answer), fields["kind"]
        if kind == "repeat":
            return without_opener(style, {" ".join([fields["word"]] * n) + " .": 1.0})
        joined = " and " if kind == "joined" else " "
        ending = " ." if kind == "joined" or answer != fields["n"] else " thanks"
        lists = {joined.join(words) + ending: 1.0 for words in itertools.permutations(MEMBERS[fields["plural"]][:8], n)}
        return (tuple((text, 1 / len(lists)) for text in lists),) if ending == " thanks" else without_opener(style, lists)

    def obeys(self, fields: Fields, response: str) -> bool:
        """Whether a response follows the instruction, whatever style surrounds it."""
        n, kind = int(fields["n"]), fields["kind"]
        words = response.split()
        if kind == "repeat":
            return words[: n + 1] == [fields["word"]] * n + ["."]
        members = set(MEMBERS[fields["plural"]])
        if kind == "thanks":
            return len(words) == n + 1 and words[-1] == "thanks" and len(set(words[:-1]) & members) == n
        list_words = words[: words.index(".")] if "." in words else words
        names, separators = list_words[::2], list_words[1::2]
        return len(names) == n and len(set(names) & members) == n and separators == ["and"] * (n - 1)
