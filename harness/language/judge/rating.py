"""The judge's prompt for an answer, and the rating in its reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Template

from harness.language.judge.questions import Question
from harness.loop.judge_settings import MAX_RATING, MIN_RATING, Instructions

RATING = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")


def rating_prompt(instructions: Instructions, question: Question, answers: Sequence[str], shows_reference: bool) -> str:
    """The message that requests a rating of the last of `answers`, the one to turn len(answers).

    Texts are substituted once, so that an answer that contains a placeholder's name is left as it is.
    """
    turn = len(answers)
    turn_name = ("first", "second")[turn - 1]
    with_reference = shows_reference and bool(question.references[turn - 1].strip())
    template = Template(getattr(instructions, f"{turn_name}_with_reference" if with_reference else turn_name))
    texts = {}
    for n in range(turn):
        texts |= {f"question_{n + 1}": question.turns[n], f"answer_{n + 1}": answers[n] or "(no answer)"}
        texts[f"reference_{n + 1}"] = question.references[n] or "(none)"
    return template.substitute(texts)


def parse_rating(reply: str) -> float | None:
    """The last rating in double square brackets, from 1 to 10; None without one. The last, because a judge may quote others."""
    ratings = RATING.findall(reply)
    value = float(ratings[-1]) if ratings else None
    return value if value is not None and MIN_RATING <= value <= MAX_RATING else None
