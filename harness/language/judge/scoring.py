"""Rate every answer of a checkpoint: concurrent requests, each judgement saved as it arrives, none requested twice."""

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
    """The request for a rating of one answer."""

    question_id: str
    turn: int  # 1 or 2
    message: str

    @property
    def label(self) -> str:
        return f"question {self.question_id}, turn {self.turn}"

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
        f"{endpoint.name}: {request.label}: no rating from {MIN_RATING} to {MAX_RATING} in double square brackets "
        f"in {len(replies)} replies; the last one: {last_reply!r}"
    )
