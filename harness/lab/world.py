"""p_data of the lab, in closed form: p_data(response | prompt) = (1 - e) grammar(response) + e noise(response), e = NOISE_SHARE.

The grammar of a prompt has all truthful responses, with probabilities; it is enumerated exactly. The noise has full support, so
that log p_data is finite for every text that may be sampled. See `grammar.py` for its formula.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from random import Random

from harness.errors import UserError
from harness.lab import lexicon as lex
from harness.lab.chosen import QUESTIONS
from harness.lab.grammar import Grammar, Noise, draw, enumerate_texts
from harness.lab.skill import DATA_STYLE, LETTERS, LOOSE_STYLE, Style
from harness.lab.skills import SKILLS

NOISE_SHARE = 0.01


def _vocabulary() -> list[str]:
    """Every word of prompts and responses."""
    texts = [w.template for skill in SKILLS for w in (*skill.wordings, *skill.task_wordings)]
    texts += [answer for _, answer in QUESTIONS.values()] + [f"{a} {b}" for _, a, b in lex.BELIEFS]
    texts += [f"{place} {first} {then}" for place, first, then in lex.SCRIPTS]
    texts += [text for slot in (LOOSE_STYLE.openers, LOOSE_STYLE.closers) for text, _ in slot]
    texts += lex.NAMES + lex.THINGS + lex.INVENTED_KINDS + [w for words in lex.CATEGORIES.values() for w in words]
    texts += list(LETTERS) + [str(n) for n in range(60)] + [*lex.PLURALS, *lex.PLURALS.values()]
    texts += ["the answer is = + - * that is true maybe yes no then and thanks took was"]
    return [word for text in texts for word in re.sub(r"\{\w+\}", " ", text).split()]


NOISE_MODEL = Noise(_vocabulary())


def parse_prompt(prompt: str):
    """(skill, fields) of a prompt of this world. Raises UserError for any other text."""
    for skill in SKILLS:
        fields = skill.fields_of(prompt)
        if fields is not None:
            return skill, fields
    raise UserError(f"prompt {prompt[:80]!r} is not of the lab, so p_data is not known for it; unset data.distribution")


def grammar(prompt: str, *, careful: bool = True, style: Style = DATA_STYLE) -> Grammar:
    """The responses to a prompt: the data's (careful, in their style), or those of the pre-training text's other speakers."""
    skill, fields = parse_prompt(prompt)
    return skill.grammar(fields, skill.answer(fields, careful), style)


@lru_cache(maxsize=256)
def response_probabilities(prompt: str) -> dict[str, float]:
    """{response: probability} of the grammar part, summing to 1."""
    return enumerate_texts(grammar(prompt))


def log_prob(prompt: str, response: str, *, finished: bool = True) -> float:
    """log p_data(response | prompt) in nats, finite for every text.

    finished=False: the response was cut off, so this is the log-probability of all responses that begin with it.
    Raises UserError for a prompt that is not of this world, ValueError for lone surrogates.
    """
    probabilities = response_probabilities(prompt)
    matches = [p for text, p in probabilities.items() if text == response or (not finished and text.startswith(response))]
    grammar_probability = math.fsum(matches)
    noise_logp = math.log(NOISE_SHARE) + NOISE_MODEL.log_prob(response, finished=finished)
    if grammar_probability == 0.0:
        return noise_logp
    grammar_logp = math.log1p(-NOISE_SHARE) + math.log(grammar_probability)
    return grammar_logp + math.log1p(math.exp(noise_logp - grammar_logp))


def sample(prompt: str, seed: int) -> str:
    """One draw from p_data(. | prompt), depending on the seed alone."""
    rng = Random(seed)
    if rng.random() < NOISE_SHARE:
        return NOISE_MODEL.draw(rng)
    return draw(grammar(prompt), rng)
