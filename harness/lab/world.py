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
from harness.lab.generated import Arithmetic
from harness.lab.grammar import Grammar, Noise, draw, enumerate_texts
from harness.lab.reasoning import VERDICTS
from harness.lab.skill import DATA_STYLE, LETTERS, LOOSE_STYLE, Fields, Skill, Style
from harness.lab.skills import SKILLS

NOISE_SHARE = 0.01
LARGEST_NUMBER = 50  # 4 * 9 + 9 is 45


def _vocabulary() -> list[str]:
    """Every word of prompts and responses, in the order of the skills."""
    texts = [w.template for skill in SKILLS for w in (*skill.wordings, *skill.task_wordings)]
    texts += [said for _, said in QUESTIONS.values()] + [said for _, said, _ in lex.ASPECTS.values()]
    texts += [text for slot in (LOOSE_STYLE.openers, LOOSE_STYLE.closers) for text, _ in slot]
    texts += lex.NAMES + lex.WORDS + lex.ANIMALS + lex.UNKNOWNS + lex.THINGS + lex.STATES + lex.ENCOUNTERS
    texts += [value for _, _, values in lex.ASPECTS.values() for value in values]
    texts += [value for values in lex.ATTRIBUTES.values() for value in values]
    texts += [*lex.PLACES_WITH_OBJECT, *lex.PLACES_WITH_OBJECT.values(), *lex.TOOLS_WITH_VERB, *lex.TOOLS_WITH_VERB.values()]
    texts += [*lex.INVENTED_KINDS, *lex.CLUES, *lex.STOLEN, *lex.CATEGORIES, *LETTERS, *VERDICTS, *Arithmetic.verbs]
    texts += [str(n) for n in range(LARGEST_NUMBER + 1)]
    texts += ["same letter of almanac tavern : the answer is = + - * he she and thanks so it then took has that is true"]
    return list(dict.fromkeys(word for text in texts for word in re.sub(r"\{\w+\}", " ", text).split()))


VOCABULARY = _vocabulary()
NOISE_MODEL = Noise(VOCABULARY)


def parse_prompt(prompt: str) -> tuple[Skill, Fields]:
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


def sample(prompt: str, seed: int, *, wrong_share: float = 0.0) -> str:
    """One draw from p_data(. | prompt), depending on the seed alone.

    wrong_share: of the draws that are no noise, those that give the careless answer in the data's style instead.
    """
    rng = Random(seed)
    if rng.random() < NOISE_SHARE:
        return NOISE_MODEL.draw(rng)
    return draw(grammar(prompt, careful=rng.random() >= wrong_share), rng)
