"""Every answer of a player is rated: several requests at once, each judgement kept as it comes, none asked for twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from harness.errors import EvaluationError
from harness.language.judge.endpoint import MAX_QUOTED_CHARS, Endpoint
from harness.language.judge.judgement_log import Judgement, JudgementLog
from harness.language.judge.rating import parse_rating
from harness.loop.judge_settings import MAX_RATING, MIN_RATING
from harness.progress import Advance
from harness.records import digest


@dataclass(frozen=True)
class JudgeRequest:
    """One answer before the judge: which one, and the message that asks for its rating."""

    question_id: str
    turn: int  # 1 or 2
    message: str

    @property
    def label(self) -> str:
        return f"question {self.question_id}, turn {self.turn}"

    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.message}]


def request_key(endpoint: Endpoint, request: JudgeRequest) -> str:
    """Names the request byte for byte and the host it goes to."""
    return digest(endpoint.host, json.dumps(endpoint.request(request.messages()), sort_keys=True))


def rate_answers(
    endpoint: Endpoint, requests: Sequence[JudgeRequest], judgement_log: JudgementLog, advance: Advance
) -> list[Judgement]:
    """One judgement per case, in the order given; those already kept are not asked for again.

    Raises EvaluationError for the first case that could not be judged, after what was under way has come in and been kept.
    """
    keys = [request_key(endpoint, case) for case in requests]
    pending = {key: case for key, case in zip(keys, requests, strict=True) if key not in judgement_log.known}
    advance(len(requests) - len(pending))
    has_failed = threading.Event()

    def rate_one(key: str, request: JudgeRequest) -> Judgement | None:
        """None where another case has failed before this one was begun."""
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
        for future in as_completed([pool.submit(rate_one, key, case) for key, case in pending.items()]):
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
    """One rating. A reply without one is answered with a request for it, `asked_again` times at most."""
    messages, replies = request.messages(), []
    for _ in range(1 + endpoint.settings.asked_again):
        try:
            replies.append(endpoint.reply(messages))
        except EvaluationError as error:
            raise EvaluationError(f"{endpoint.name}: {request.label}: {error}") from None
        rating = parse_rating(replies[-1])
        if rating is not None:
            return Judgement(key, request.question_id, request.turn, rating, replies, endpoint.model)
        if replies[-1].strip():
            follow_up = {"role": "user", "content": endpoint.settings.instructions.again}
            messages = [*messages, {"role": "assistant", "content": replies[-1]}, follow_up]
    last_reply = " ".join(replies[-1].split())[:MAX_QUOTED_CHARS]
    raise EvaluationError(
        f"{endpoint.name}: {request.label}: no rating from {MIN_RATING} to {MAX_RATING} in double square "
        f"brackets in {len(replies)} "
        f"replies; the last one: {last_reply!r}"
    )
