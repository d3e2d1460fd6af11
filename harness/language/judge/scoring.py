"""Rate every answer of a checkpoint: concurrent requests, each judgement saved as it arrives, none requested twice."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from string import Template

from harness.errors import EvaluationError
from harness.language.judge.endpoint import MAX_QUOTED_CHARS, Endpoint
from harness.language.judge.judgement_log import Judgement, JudgementLog
from harness.language.judge.questions import Question
from harness.loop.judge_settings import MAX_RATING, MIN_RATING, Instructions
from harness.progress import Advance
from harness.records import digest

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


@dataclass(frozen=True)
class JudgeRequest:
    """The request for a rating of one answer."""

    question_id: str
    turn: int  # 1 or 2
    message: str

    @property
    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.message}]


def request_key(endpoint: Endpoint, request: JudgeRequest) -> str:
    """Digest of the host and the exact request."""
    return digest(endpoint.host, json.dumps(endpoint.request(request.messages), sort_keys=True))


def rate_answers(
    endpoint: Endpoint, requests: Sequence[JudgeRequest], judgement_log: JudgementLog, advance: Advance
) -> list[Judgement]:
    """One judgement per request, in the order of `requests`; those in the log are not requested again.

    Raises EvaluationError for the first request that failed, after those under way have arrived and been saved.
    """
    keys = [request_key(endpoint, request) for request in requests]
    pending = {key: request for key, request in zip(keys, requests, strict=True) if key not in judgement_log.known}
    advance(len(requests) - len(pending))
    has_failed = threading.Event()

    def rate_one(key: str, request: JudgeRequest) -> Judgement | None:
        """None where another request failed before this one was started."""
        if has_failed.is_set():
            return None
        try:
            return _rate(endpoint, key, request)
        except BaseException:
            has_failed.set()
            raise

    failure: BaseException | None = None
    pool = ThreadPoolExecutor(endpoint.settings.at_once, thread_name_prefix="judge")
    try:
        for future in as_completed([pool.submit(rate_one, key, request) for key, request in pending.items()]):
            failure = failure or future.exception()
            if future.exception() is None and (judgement := future.result()) is not None:
                judgement_log.append(judgement)
                advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
    if failure is not None:
        raise failure
    return [judgement_log.known[key] for key in keys]


def _rate(endpoint: Endpoint, key: str, request: JudgeRequest) -> Judgement:
    """One rating. After a reply without one the judge is asked for it again, `asked_again` times at most."""
    messages, replies = request.messages, []
    name = f"{endpoint.name}: question {request.question_id}, turn {request.turn}"
    for _ in range(1 + endpoint.settings.asked_again):
        try:
            replies.append(endpoint.reply(messages))
        except EvaluationError as error:
            raise EvaluationError(f"{name}: {error}") from None
        rating = parse_rating(replies[-1])
        if rating is not None:
            return Judgement(key, request.question_id, request.turn, rating, replies, endpoint.model)
        if replies[-1].strip():
            follow_up = {"role": "user", "content": endpoint.settings.instructions.again}
            messages = [*messages, {"role": "assistant", "content": replies[-1]}, follow_up]
    last_reply = " ".join(replies[-1].split())[:MAX_QUOTED_CHARS]
    raise EvaluationError(
        f"{name}: no rating from {MIN_RATING} to {MAX_RATING} in double square brackets "
        f"in {len(replies)} replies; the last one: {last_reply!r}"
    )
