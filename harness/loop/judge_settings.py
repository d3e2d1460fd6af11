"""The [judge] section of a suite: which judge rates answers, to which questions, how they are sampled, the judge's prompts."""

from __future__ import annotations

from string import Template
from typing import Annotated

from pydantic import Field, field_validator

from harness.config import MAX_COUNT, Section

MIN_RATING, MAX_RATING = 1, 10  # a number outside of these is no rating
# Keys that do not change a suite's scores: addresses, time limits, retries. Host and model are recorded separately.
LOCATION_KEYS = frozenset({"endpoint", "model", "key_env", "questions", "timeout_seconds", "retries", "at_once"})
PLACEHOLDERS = {
    "first": {"question_1", "answer_1"},
    "second": {"question_1", "answer_1", "question_2", "answer_2"},
    "first_with_reference": {"question_1", "answer_1", "reference_1"},
    "second_with_reference": {"question_1", "answer_1", "reference_1", "question_2", "answer_2", "reference_2"},
    "again": set[str](),
}


class Instructions(Section):
    """The judge's prompts, one message each; $question_1, $answer_1, $reference_1 and so on mark where texts go.

    `first` rates the first answer, `second` the second one and shows the whole conversation; `again` follows a reply without a
    rating.
    """

    first: str
    second: str
    first_with_reference: str
    second_with_reference: str
    again: str

    @field_validator(*PLACEHOLDERS)
    @classmethod
    def _check_placeholders(cls, text: str, info: object) -> str:
        placeholders = PLACEHOLDERS[info.field_name]  # type: ignore[attr-defined]
        template = Template(text)
        if not template.is_valid() or set(template.get_identifiers()) != placeholders:
            expected = ", ".join(f"${place}" for place in sorted(placeholders)) or "no place to fill"
            raise ValueError(f"expected {expected}, each of them and no other (a dollar sign is written $$)")
        return text


class JudgeSettings(Section):
    """The judge and its settings. A run names its own judge with evaluation.judge_endpoint, judge_model and judge_key_env.

    `questions` is a hub id, a folder or a file, from the suite's folder on; `key_env` the name of the environment variable that
    holds the endpoint's key, absent for an endpoint that needs none. `at_once` counts requests of one process, and a run
    has `--jobs` of them; `retries` is for requests that fail, `asked_again` for replies that hold no rating.
    """

    questions: str = Field(min_length=1)
    endpoint: str | None = None
    model: str | None = None
    key_env: str | None = None
    timeout_seconds: float = Field(default=120.0, gt=0, le=MAX_COUNT)
    retries: int = Field(default=4, ge=0)
    at_once: int = Field(default=4, ge=1)
    temperature: float = Field(default=0.0, ge=0)  # of the judge
    max_tokens: int = Field(default=2048, ge=8)  # of one reply of the judge
    asked_again: int = Field(default=2, ge=0)
    max_new_tokens: int = Field(default=1024, ge=1)  # of one answer of a checkpoint
    temperatures: dict[str, Annotated[float, Field(ge=0)]]  # of a checkpoint's answers, by category; 0 is greedy
    references_for: tuple[str, ...] = ()  # categories whose reference answers the judge is shown, where a question has one
    instructions: Instructions
