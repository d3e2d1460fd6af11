"""Every answer of a player is rated: several requests at once, each judgement kept as it comes, none asked for twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from harness.errors import EvaluationError
from harness.language.judge.endpoint import SHOWN, Endpoint
from harness.language.judge.judgement_log import Judgement, Judgements
from harness.language.judge.rating import rating_of
from harness.loop.judge_settings import HIGHEST, LOWEST
from harness.progress import Advance
from harness.records import digest


@dataclass(frozen=True)
class Case:
    """One answer before the judge: which one, and the message that asks for its rating."""

    question_id: str
    turn: int  # 1 or 2
    message: str

    @property
    def where(self) -> str:
        return f"question {self.question_id}, turn {self.turn}"

    def messages(self) -> list[dict[str, str]]:
        return [{"role": "user", "content": self.message}]


def key_of(endpoint: Endpoint, case: Case) -> str:
    """Names the request byte for byte and the host it goes to."""
    return digest(endpoint.host, json.dumps(endpoint.request(case.messages()), sort_keys=True))


def judge(endpoint: Endpoint, cases: Sequence[Case], kept: Judgements, advance: Advance) -> list[Judgement]:
    """One judgement per case, in the order given; those already kept are not asked for again.

    Raises EvaluationError for the first case that could not be judged, after what was under way has come in and been kept.
    """
    keys = [key_of(endpoint, case) for case in cases]
    missing = {key: case for key, case in zip(keys, cases, strict=True) if key not in kept.known}
    advance(len(cases) - len(missing))
    broken = threading.Event()

    def work(key: str, case: Case) -> Judgement | None:
        """None where another case has failed before this one was begun."""
        if broken.is_set():
            return None
        try:
            return _judged(endpoint, key, case)
        except BaseException:
            broken.set()
            raise

    failure: BaseException | None = None
    pool = ThreadPoolExecutor(endpoint.settings.at_once, thread_name_prefix="judge")
    try:
        for done in as_completed([pool.submit(work, key, case) for key, case in missing.items()]):
            failure = failure or done.exception()
            if done.exception() is None and (judgement := done.result()) is not None:
                kept.keep(judgement)
                advance(1)
    finally:
        pool.shutdown(cancel_futures=True)
    if failure is not None:
        raise failure
    return [kept.known[key] for key in keys]


def _judged(endpoint: Endpoint, key: str, case: Case) -> Judgement:
    """One rating. A reply without one is answered with a request for it, `asked_again` times at most."""
    messages, replies = case.messages(), []
    for _ in range(1 + endpoint.settings.asked_again):
        try:
            replies.append(endpoint.reply(messages))
        except EvaluationError as error:
            raise EvaluationError(f"{endpoint.name}: {case.where}: {error}") from None
        rating = rating_of(replies[-1])
        if rating is not None:
            return Judgement(key, case.question_id, case.turn, rating, replies, endpoint.model)
        if replies[-1].strip():
            again = {"role": "user", "content": endpoint.settings.instructions.again}
            messages = [*messages, {"role": "assistant", "content": replies[-1]}, again]
    said = " ".join(replies[-1].split())[:SHOWN]
    raise EvaluationError(
        f"{endpoint.name}: {case.where}: no rating from {LOWEST} to {HIGHEST} in double square brackets in {len(replies)} "
        f"replies; the last one: {said!r}"
    )
