"""A judged suite as a leaderboard: the player answers, the judge rates, every category is a row.

An item is a question. It counts the mean of its two ratings as tenths of the scale, so a row's value is its mean rating / 10, the
lowest possible one is 0.1 (the row's chance level), and n is the number of questions. A question's two ratings hang together (the
second answer continues the first), so they are one cluster: the standard error is the standard deviation over questions (n - 1)
of these means, divided by the square root of their number; none for one question. Where a row names a `cluster`, a column of its
questions, questions that are equal in it are one cluster too.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.analysis.clusters import clustered_stderr, column_key, numbered, refuse_one_cluster
from harness.config import EvaluationConfig
from harness.errors import UserError
from harness.language.judge.endpoint import Endpoint, check_named, named_judge
from harness.language.judge.judgement_log import Judgement, Judgements
from harness.language.judge.questions import Question, load_questions
from harness.language.judge.rating import instruction
from harness.language.judge.responses import Answer, answer, check_room, prompt_ids
from harness.language.judge.scoring import Case, judge
from harness.language.policy import Policy
from harness.loop.benchmark import Evaluated
from harness.loop.judge_settings import HIGHEST, JudgeSettings
from harness.loop.suite import Suite, SuiteTask
from harness.progress import Advance
from harness.records import EvalRecord, digest
from harness.store.partial_results import Unfinished

STEPS_PER_QUESTION = 4  # two answers, two judgements


@dataclass
class JudgedBoard:
    """A suite with its questions, by row: made once per run, used for every player."""

    suite: Suite  # with the judge that the run names
    questions: dict[str, list[Question]]
    raw_name: str = "judge.json"

    @property
    def settings(self) -> JudgeSettings:
        assert self.suite.judge is not None
        return self.suite.judge

    @cached_property
    def endpoint(self) -> Endpoint:
        """Raises UserError when none is named."""
        check_named(self.settings, self.suite.name)
        return Endpoint(self.settings)

    @property
    def digest(self) -> str:
        return digest(*(f"{row} {question.digest}" for row, mine in self.questions.items() for question in mine))

    @property
    def defined(self) -> Mapping[str, str]:
        """Nothing: the instructions are part of the suite."""
        return {}

    @property
    def made_from(self) -> Mapping[str, Any]:
        """Another judge gives other numbers."""
        return {"judge": {"host": self.endpoint.host, "model": self.endpoint.model}}

    def notices(self) -> Iterator[str]:
        return iter(())

    def items(self) -> dict[str, int]:
        return {row: len(mine) for row, mine in self.questions.items()}

    def clusters(self) -> dict[str, list[int]]:
        return {row.name: found for row in self.suite.task if (found := self._clusters(row)) is not None}

    def requests(self) -> int | None:
        return STEPS_PER_QUESTION * sum(self.items().values())

    def check_ready(self, reach: bool) -> None:
        if reach:
            self.endpoint.reach()
        else:
            check_named(self.settings, self.suite.name)

    def check_context(self, policy: Policy) -> None:
        check_room(policy, self._asked(), self.suite.name, self.settings.max_new_tokens)

    def evaluate(
        self, policy: Policy, columns: int, rows: int, advance: Advance, kept: Path, unfinished: Unfinished
    ) -> Evaluated:
        asked, settings = self._asked(), self.settings
        seeds = f"{self.suite.name} v{self.suite.version}"
        answers = answer(policy, asked, seeds, settings.max_new_tokens, settings.temperatures, rows, advance)
        cases = [self._case(q, given, turn) for q, given in zip(asked, answers, strict=True) for turn in range(1, len(given) + 1)]
        found = judge(self.endpoint, cases, Judgements(kept, unfinished.shards.notice), advance)
        ratings, samples = {}, {row.name: [] for row in self.suite.task}
        for n, question in enumerate(asked):
            mine = found[2 * n : 2 * n + 2]
            ratings[question.id] = [one.rating for one in mine]
            samples[question.category] += self._samples(question, answers[n], mine)
        prompts = [policy.tokenizer.decode(prompt_ids(policy, question, [])) for question in asked]
        return Evaluated(
            [self.record_of(row, ratings) for row in self.suite.task],
            samples,
            {row.name: self._items(row, ratings) for row in self.suite.task},
            self._raw(answers, found),
            digest(*prompts),
        )

    def record_of(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> EvalRecord:
        """The row's number from every question's ratings, by question id."""
        values, clusters = self._values(row, ratings), self._clusters(row)
        n = len(values)
        return EvalRecord(
            task=row.name,
            metric=row.metric,
            filter=row.filter,
            value=statistics.fmean(values),
            stderr=clustered_stderr(values, clusters) if clusters else statistics.stdev(values) / n**0.5 if n > 1 else None,
            n=n,
            shots=row.shots,
            task_version=self.suite.version,
            suite=self.suite.name,
            suite_version=self.suite.version,
            higher_is_better=row.higher_is_better,
            chance=row.chance,
            clusters=None if clusters is None else len(set(clusters)),
        )

    def _clusters(self, row: SuiteTask) -> list[int] | None:
        """The cluster of every question of a row that names one. Raises UserError for a question without it."""
        if row.cluster is None:
            return None
        keys = cluster_keys(self.suite, row, self.questions[row.name])
        return numbered(keys)

    def _asked(self) -> list[Question]:
        return [question for mine in self.questions.values() for question in mine]

    def _case(self, question: Question, answers: Sequence[Answer], turn: int) -> Case:
        shows_reference = question.category in self.settings.references_for
        given = [one.text for one in answers[:turn]]
        return Case(question.id, turn, instruction(self.settings.instructions, question, given, shows_reference))

    def _values(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> list[float]:
        return [statistics.fmean(ratings[question.id]) / HIGHEST for question in self.questions[row.name]]

    def _items(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> dict[str, Any]:
        """What each question counted, and a hash that names questions and judge: another judge's ratings are no pair."""
        asked = digest(self.endpoint.host, self.endpoint.model, *(q.digest for q in self.questions[row.name]))
        found = {"items": asked, "values": self._values(row, ratings)}
        clusters = self._clusters(row)
        return found | ({"clusters": clusters} if clusters and max(clusters) + 1 < len(clusters) else {})

    def _samples(self, question: Question, answers: Sequence[Answer], judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
        return [
            {
                "question_id": question.id,
                "category": question.category,
                "turn": turn,
                "question": question.turns[turn - 1],
                "reference": question.references[turn - 1],
                "answer": given.text,
                "finished": given.finished,
                "rating": judged.rating,
                "replies": judged.replies,
                "judge": judged.model,
                "key": judged.key,
            }
            for turn, (given, judged) in enumerate(zip(answers, judgements, strict=True), start=1)
        ]

    def _raw(self, answers: Sequence[Sequence[Answer]], judgements: Sequence[Judgement]) -> dict[str, Any]:
        """Who judged, and the mean ratings from 1 to 10 as MT-Bench reports them: overall and by turn."""
        by_turn = {turn: statistics.fmean(j.rating for j in judgements if j.turn == turn) for turn in (1, 2)}
        return {
            "judge": self.endpoint.model,
            "host": self.endpoint.host,
            "mean_rating": statistics.fmean(j.rating for j in judgements),
            "mean_rating_by_turn": by_turn,
            "judgements": len(judgements),
            "judgements_after_asking_again": sum(len(j.replies) > 1 for j in judgements),
            "answers_cut_off": sum(not one.finished for given in answers for one in given),
        }


def prepare(suite: Suite, evaluation: EvaluationConfig, mirror: Path | None) -> JudgedBoard:
    """The suite's questions, by row, the first `limit` of each where there is one. Questions of no row's category are not asked.

    Raises UserError for questions that are not there or malformed, and for a row without any.
    """
    assert suite.judge is not None
    settings = named_judge(suite.judge, evaluation)
    every = load_questions(settings.questions, Path(suite.source), mirror)
    found = {}
    for row in suite.task:
        mine = [question for question in every if question.category == row.name]
        if not mine:
            known = ", ".join(sorted({question.category for question in every}))
            raise UserError(f"suite {suite.name}, task {row.name}: {settings.questions} has no such category (it has {known})")
        if row.cluster is not None:
            refuse_one_cluster(cluster_keys(suite, row, mine), f'suite {suite.name}, task {row.name}: cluster = "{row.cluster}"')
        limits = [limit for limit in (row.limit, evaluation.limit) if limit is not None]
        found[row.name] = mine[: min([*limits, len(mine)])]
    return JudgedBoard(suite.model_copy(update={"judge": settings}), found)


def cluster_keys(suite: Suite, row: SuiteTask, questions: Sequence[Question]) -> list[str]:
    """The cluster of every question of a row that names one. Raises UserError for a question without it."""
    assert row.cluster is not None
    where = f'suite {suite.name}, task {row.name}: cluster = "{row.cluster}"'
    return [column_key(question.row, row.cluster, where, f"question {question.id}") for question in questions]
