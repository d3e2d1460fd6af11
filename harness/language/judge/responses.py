"""A checkpoint's answers to both turns of every question, by its template and sampler; the second prompt holds the first answer.

A seed depends on the suite, the question and the turn alone: the same checkpoint gives the same text again, and all checkpoints
are sampled with the same uniforms, so that they are compared on common random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import EvaluationError, UserError
from harness.language.encoding import encode_prompt
from harness.language.judge.questions import TURNS, Question
from harness.language.model.choosing import SamplingParams
from harness.language.model.sampling import Request
from harness.language.policy import Policy
from harness.progress import Advance
from harness.records import keyed_seed

SHORTEST_ANSWER = "-"  # a stand-in for the first answer, for the least possible length of a second prompt


@dataclass(frozen=True)
class Answer:
    """One answer; `finished`: whether it ends with a stop token, else it was cut off."""

    text: str
    finished: bool


def generate_answers(
    policy: Policy,
    questions: Sequence[Question],
    name: str,
    max_new_tokens: int,
    temperatures: Mapping[str, float],
    batch_size: int,
    advance: Advance,
) -> list[list[Answer]]:
    """Two answers per question, in the order of `questions`; all of one turn and temperature are generated together.

    An answer has at most `max_new_tokens` tokens, a second one fewer where the context leaves less. name: part of the seeds.
    Raises EvaluationError when a second prompt fills the context by itself.
    """
    answers: list[list[Answer]] = [[] for _ in questions]
    for turn in range(TURNS):
        prompts = [prompt_ids(policy, q, [a.text for a in earlier]) for q, earlier in zip(questions, answers, strict=True)]
        requests = []
        for question, prompt in zip(questions, prompts, strict=True):
            if (room := policy.context_length - len(prompt)) <= 0:
                raise EvaluationError(
                    f"{name}, question {question.id}, turn {turn + 1}: the prompt has {len(prompt)} tokens with the first "
                    f"answer, the model's context is {policy.context_length}; lower judge.max_new_tokens "
                    f"(now {max_new_tokens}) in the suite"
                )
            requests.append(Request(prompt, keyed_seed("answer", name, question.id, turn), min(max_new_tokens, room)))
        for temperature in sorted({temperatures[q.category] for q in questions}):
            indices = [n for n, q in enumerate(questions) if temperatures[q.category] == temperature]
            params = SamplingParams(temperature, banned_ids=policy.ids_without_token)
            stop_ids = policy.template.stop_ids
            completions = policy.generate_tokens([requests[n] for n in indices], params, stop_ids, batch_size, advance)
            for n, completion in zip(indices, completions, strict=True):
                answers[n].append(_decode_answer(policy, completion.ids))
    return answers


def prompt_ids(policy: Policy, question: Question, answers: Sequence[str]) -> list[int]:
    """Token ids of the conversation up to the answer after `answers`, in the policy's template."""
    messages = [{"role": "user", "content": question.turns[0]}]
    for turn, text in enumerate(answers, start=1):
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": question.turns[turn]}]
    return encode_prompt(policy.tokenizer, policy.template.render(policy.tokenizer, messages), policy.template)


def check_context_length(policy: Policy, questions: Sequence[Question], name: str, max_new_tokens: int) -> None:
    """Raises UserError when a question, even with a short first answer, leaves no room for `max_new_tokens` tokens."""
    for question in questions:
        for answers in ([], [SHORTEST_ANSWER]):
            prompt_tokens = len(prompt_ids(policy, question, answers))
            if prompt_tokens + max_new_tokens > policy.context_length:
                raise UserError(
                    f"suite {name}, question {question.id}, turn {len(answers) + 1}: {prompt_tokens} tokens of prompt and up to "
                    f"{max_new_tokens} of answer, the model's context is {policy.context_length}; use a model with a longer "
                    "context, or a copy of the suite with fewer judge.max_new_tokens"
                )


def _decode_answer(policy: Policy, ids: Sequence[int]) -> Answer:
    finished = ids[-1] in policy.template.stop_ids
    # generated special tokens would open another role's turn in the next prompt
    text = policy.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return Answer(text.strip(), finished)
