"""The [judge] section of a suite: who rates answers, to which questions, how they are drawn, and what the judge is told."""

from __future__ import annotations

from string import Template
from typing import Annotated

from pydantic import Field, field_validator

from harness.config import MOST, Part

LOWEST, HIGHEST = 1, 10  # a rating outside of these is none
# Keys that are not what a suite asks, but where things are and how patiently; host and model are recorded by themselves.
ELSEWHERE = frozenset({"endpoint", "model", "key_env", "questions", "timeout_seconds", "retries", "at_once"})
PLACES = {
    "first": {"question_1", "answer_1"},
    "second": {"question_1", "answer_1", "question_2", "answer_2"},
    "first_with_reference": {"question_1", "answer_1", "reference_1"},
    "second_with_reference": {"question_1", "answer_1", "reference_1", "question_2", "answer_2", "reference_2"},
    "again": set[str](),
}


class Instructions(Part):
    """What the judge is told, one message each; $question_1, $answer_1, $reference_1 and so on mark where texts go.

    `first` rates the first answer, `second` the second one and shows the whole conversation; `again` follows a reply without a
    rating.
    """

    first: str
    second: str
    first_with_reference: str
    second_with_reference: str
    again: str

    @field_validator(*PLACES)
    @classmethod
    def _has_its_places(cls, text: str, info: object) -> str:
        places = PLACES[info.field_name]  # type: ignore[attr-defined]
        template = Template(text)
        if not template.is_valid() or set(template.get_identifiers()) != places:
            wanted = ", ".join(f"${place}" for place in sorted(places)) or "no place to fill"
            raise ValueError(f"expected {wanted}, each of them and no other (a dollar sign is written $$)")
        return text


class JudgeSettings(Part):
    """Who judges and how. A run names its own judge with evaluation.judge_endpoint, judge_model and judge_key_env.

    `questions` is a hub id, a folder or a file, from the suite's folder on; `key_env` the name of the environment variable that
    holds the endpoint's key, absent for an endpoint that asks for none. `at_once` counts requests of one process, and a run
    has `--jobs` of them; `retries` is for requests that fail, `asked_again` for replies that hold no rating.
    """

    questions: str = Field(min_length=1)
    endpoint: str | None = None
    model: str | None = None
    key_env: str | None = None
    timeout_seconds: float = Field(default=120.0, gt=0, le=MOST)
    retries: int = Field(default=4, ge=0)
    at_once: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.0, ge=0)  # of the judge
    max_tokens: int = Field(default=2048, ge=8)  # of one reply of the judge
    asked_again: int = Field(default=2, ge=0)
    max_new_tokens: int = Field(default=1024, ge=1)  # of one answer of a player
    temperatures: dict[str, Annotated[float, Field(ge=0)]]  # of a player's answers, by category; 0 takes the likeliest
    references_for: tuple[str, ...] = ()  # categories whose reference answers the judge is shown, where a question has one
    instructions: Instructions
