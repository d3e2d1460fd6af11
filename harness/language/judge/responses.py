"""A player's answers to both turns of every question, through its template and sampler; the second prompt holds the first answer.

A draw's seed depends on the suite, the question and the turn alone: the same player gives the same text again, and all players
draw from the same uniforms, so that they are compared under equal luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import EvaluationError, UserError
from harness.language.encoding import encode_prompt
from harness.language.judge.questions import TURNS, Question
from harness.language.model.sampling import Draw, Request
from harness.language.policy import Policy
from harness.progress import Advance
from harness.records import keyed_seed

SHORTEST = "-"  # stands for a first answer where only the least length of what comes behind it is asked


@dataclass(frozen=True)
class Answer:
    """One answer; `finished` says whether the player ended it or was cut off."""

    text: str
    finished: bool


def answer(
    policy: Policy,
    questions: Sequence[Question],
    name: str,
    longest: int,
    temperatures: Mapping[str, float],
    rows: int,
    advance: Advance,
) -> list[list[Answer]]:
    """Two answers per question, in the order given; all questions of one turn and temperature are drawn together.

    An answer has at most `longest` tokens, a second one fewer where the context leaves less. name: what the seeds are of.
    Raises EvaluationError when a second prompt fills the context by itself.
    """
    found: list[list[Answer]] = [[] for _ in questions]
    for turn in range(TURNS):
        prompts = [prompt_ids(policy, q, [a.text for a in given]) for q, given in zip(questions, found, strict=True)]
        for question, prompt in zip(questions, prompts, strict=True):
            if len(prompt) >= policy.context:
                raise EvaluationError(
                    f"{name}, question {question.id}, turn {turn + 1}: the prompt has {len(prompt)} tokens with the first "
                    f"answer, the model's context is {policy.context}; lower judge.max_new_tokens (now {longest}) in the suite"
                )
        seeds = [keyed_seed("answer", name, question.id, turn) for question in questions]
        for temperature in sorted({temperatures[q.category] for q in questions}):
            mine = [n for n, q in enumerate(questions) if temperatures[q.category] == temperature]
            wanted = [Request(prompts[n], seeds[n], min(longest, policy.context - len(prompts[n]))) for n in mine]
            drawn = policy.draw(wanted, Draw(temperature, never=policy.nameless), policy.template.stop_ids, rows, advance)
            for n, tokens in zip(mine, drawn, strict=True):
                found[n].append(_answer(policy, tokens.ids))
    return found


def prompt_ids(policy: Policy, question: Question, answers: Sequence[str]) -> list[int]:
    """The conversation up to where answer number len(answers) begins, in the policy's template."""
    said = [{"role": "user", "content": question.turns[0]}]
    for turn, text in enumerate(answers, start=1):
        said += [{"role": "assistant", "content": text}, {"role": "user", "content": question.turns[turn]}]
    return encode_prompt(policy.tokenizer, policy.template.render(policy.tokenizer, said), policy.template)


def check_room(policy: Policy, questions: Sequence[Question], name: str, longest: int) -> None:
    """Raises UserError when a question, even with a short first answer, leaves no room for one of `longest` tokens."""
    for question in questions:
        for answers in ([], [SHORTEST]):
            tokens = len(prompt_ids(policy, question, answers))
            if tokens + longest > policy.context:
                raise UserError(
                    f"suite {name}, question {question.id}, turn {len(answers) + 1}: {tokens} tokens of prompt and up to "
                    f"{longest} of answer, the model's context is {policy.context}; use a model with a longer context, "
                    "or a copy of the suite with fewer judge.max_new_tokens"
                )


def _answer(policy: Policy, ids: Sequence[int]) -> Answer:
    finished = ids[-1] in policy.template.stop_ids
    # special tokens a player writes would open a turn of somebody else's in the next prompt
    text = policy.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Answer(text.strip(), finished)
