"""A judged suite as a benchmark: the checkpoint answers, the judge rates, every category is a row.

An item is a question. Its score is the mean of its two ratings divided by 10, so a row's value is its mean rating / 10, the
lowest possible one is 0.1 (the row's chance level), and n is the number of questions. A question's two ratings are dependent (the
second answer continues the first), so they are one cluster: the standard error is the standard deviation over questions (n - 1)
of these means, divided by the square root of their number; none for one question. Where a row names a `cluster`, a column of its
questions, questions that are equal in it are one cluster too.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.analysis.clusters import check_several_clusters, cluster_robust_stderr, column_key, number_clusters
from harness.config import EvaluationConfig
from harness.errors import UserError
from harness.language.benchmark.row_scores import row_record
from harness.language.judge.endpoint import Endpoint, check_judge_settings, resolve_judge
from harness.language.judge.judgement_log import Judgement, JudgementLog
from harness.language.judge.questions import Question, load_questions
from harness.language.judge.responses import Answer, check_context_length, generate_answers, prompt_ids
from harness.language.judge.scoring import JudgeRequest, rate_answers, rating_prompt
from harness.language.policy import Policy
from harness.loop.benchmark import Benchmark, EvalOptions, EvalResult
from harness.loop.judge_settings import MAX_RATING, JudgeSettings
from harness.loop.suite import Suite, SuiteTask
from harness.records import EvalRecord, digest

STEPS_PER_QUESTION = 4  # two answers, two judgements


@dataclass
class JudgeBenchmark(Benchmark):
    """A suite with its questions, by row. The instructions of the judge are part of the suite."""

    suite: Suite  # with the judge that the run names
    questions: dict[str, list[Question]]
    raw_name: str = "judge.json"

    @property
    def settings(self) -> JudgeSettings:
        assert self.suite.judge is not None
        return self.suite.judge

    @cached_property
    def endpoint(self) -> Endpoint:
        """Raises UserError when the run names no judge, or settings of it that cannot be used."""
        check_judge_settings(self.settings, self.suite.name)
        return Endpoint(self.settings)

    @property
    def digest(self) -> str:
        return digest(*(f"{row} {q.digest}" for row, row_questions in self.questions.items() for q in row_questions))

    @property
    def judge_identity(self) -> Mapping[str, Any]:
        """Host and model: scores of different judges are not comparable."""
        return {"judge": {"host": self.endpoint.host, "model": self.endpoint.model}}

    def items(self) -> dict[str, int]:
        return {row: len(row_questions) for row, row_questions in self.questions.items()}

    def clusters(self) -> dict[str, list[int]]:
        return {row.name: clusters for row in self.suite.task if (clusters := self._clusters(row)) is not None}

    def requests(self) -> int:
        return STEPS_PER_QUESTION * sum(self.items().values())

    def check_ready(self, ping: bool) -> None:
        if ping:
            self.endpoint.ping()
        else:
            check_judge_settings(self.settings, self.suite.name)

    def check_context(self, policy: Policy) -> None:
        check_context_length(policy, self._all_questions(), self.suite.name, self.settings.max_new_tokens)

    def evaluate(self, policy: Policy, options: EvalOptions) -> EvalResult:
        questions, settings = self._all_questions(), self.settings
        seed_name = f"{self.suite.name} v{self.suite.version}"
        answers = generate_answers(
            policy, questions, seed_name, settings.max_new_tokens, settings.temperatures, options.batch_size, options.advance
        )
        judge_requests = [
            self._judge_request(question, question_answers[: turn + 1])
            for question, question_answers in zip(questions, answers, strict=True)
            for turn in range(len(question_answers))
        ]
        log = JudgementLog(options.judgement_log, options.partial_results.notify)
        judgements = rate_answers(self.endpoint, judge_requests, log, options.advance)
        ratings, samples = {}, {row.name: [] for row in self.suite.task}
        for n, question in enumerate(questions):
            question_judgements = judgements[2 * n : 2 * n + 2]
            ratings[question.id] = [judgement.rating for judgement in question_judgements]
            samples[question.category] += _samples(question, answers[n], question_judgements)
        prompts = [policy.tokenizer.decode(prompt_ids(policy, question, [])) for question in questions]
        return EvalResult(
            [self.make_record(row, ratings) for row in self.suite.task],
            samples,
            {row.name: self.item_scores(row, ratings) for row in self.suite.task},
            self._raw(answers, judgements),
            digest(*prompts),
        )

    def make_record(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> EvalRecord:
        """The row's score. ratings: question id -> ratings of its turns."""
        values, clusters = self._values(row, ratings), self._clusters(row)
        n = len(values)
        stderr = cluster_robust_stderr(values, clusters) if clusters else statistics.stdev(values) / n**0.5 if n > 1 else None
        record = row_record(self.suite, row, statistics.fmean(values), stderr, n, self.suite.version)
        return record if clusters is None else replace(record, clusters=len(set(clusters)))

    def item_scores(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> dict[str, Any]:
        """Each question's score, and a digest of questions and judge: ratings of different judges are not paired."""
        items_digest = digest(self.endpoint.host, self.endpoint.model, *(q.digest for q in self.questions[row.name]))
        clusters = self._clusters(row)
        scores = {"items": items_digest, "values": self._values(row, ratings)}
        return scores | ({"clusters": clusters} if clusters and max(clusters) + 1 < len(clusters) else {})

    def _clusters(self, row: SuiteTask) -> list[int] | None:
        """The cluster of every question of a row; None where it names none."""
        return None if row.cluster is None else number_clusters(_cluster_keys(self.suite, row, self.questions[row.name]))

    def _all_questions(self) -> list[Question]:
        return [question for row_questions in self.questions.values() for question in row_questions]

    def _judge_request(self, question: Question, answers: Sequence[Answer]) -> JudgeRequest:
        shows_reference = question.category in self.settings.references_for
        message = rating_prompt(self.settings.instructions, question, [answer.text for answer in answers], shows_reference)
        return JudgeRequest(question.id, len(answers), message)

    def _values(self, row: SuiteTask, ratings: Mapping[str, Sequence[float]]) -> list[float]:
        return [statistics.fmean(ratings[question.id]) / MAX_RATING for question in self.questions[row.name]]

    def _raw(self, answers: Sequence[Sequence[Answer]], judgements: Sequence[Judgement]) -> dict[str, Any]:
        """The judge's model and host, and the mean ratings from 1 to 10 as MT-Bench reports them: overall and by turn."""
        return {
            "judge": self.endpoint.model,
            "host": self.endpoint.host,
            "mean_rating": statistics.fmean(j.rating for j in judgements),
            "mean_rating_by_turn": {turn: statistics.fmean(j.rating for j in judgements if j.turn == turn) for turn in (1, 2)},
            "judgements": len(judgements),
            "judgements_after_asking_again": sum(len(j.replies) > 1 for j in judgements),
            "answers_cut_off": sum(not answer.finished for question_answers in answers for answer in question_answers),
        }


def load_judge_benchmark(suite: Suite, evaluation: EvaluationConfig, mirror: Path | None) -> JudgeBenchmark:
    """The suite's questions, by row, the first `limit` of each where there is one. Questions of no row's category are left out.

    Raises UserError for questions that are missing or malformed, and for a row without any.
    """
    assert suite.judge is not None
    settings = resolve_judge(suite.judge, evaluation)
    all_questions = load_questions(settings.questions, Path(suite.source), mirror)
    questions_by_row = {}
    for row in suite.task:
        where = f"suite {suite.name}, task {row.name}: "
        row_questions = [question for question in all_questions if question.category == row.name]
        if not row_questions:
            categories = ", ".join(sorted({question.category for question in all_questions}))
            raise UserError(f"{where}{settings.questions} has no such category (it has {categories})")
        if row.cluster is not None:
            check_several_clusters(_cluster_keys(suite, row, row_questions), f'{where}cluster = "{row.cluster}"')
        questions_by_row[row.name] = row_questions[: row.num_items(len(row_questions), evaluation.limit)]
    return JudgeBenchmark(suite.model_copy(update={"judge": settings}), questions_by_row)


def _cluster_keys(suite: Suite, row: SuiteTask, questions: Sequence[Question]) -> list[str]:
    """The cluster of every question of a row that names one. Raises UserError for a question without it."""
    assert row.cluster is not None
    where = f'suite {suite.name}, task {row.name}: cluster = "{row.cluster}"'
    return [column_key(question.row, row.cluster, where, f"question {question.id}") for question in questions]


def _samples(question: Question, answers: Sequence[Answer], judgements: Sequence[Judgement]) -> list[dict[str, Any]]:
    return [
        {
            "question_id": question.id,
            "category": question.category,
            "turn": judgement.turn,
            "question": question.turns[judgement.turn - 1],
            "reference": question.references[judgement.turn - 1],
            "answer": answer.text,
            "finished": answer.finished,
            "rating": judgement.rating,
            "replies": judgement.replies,
            "judge": judgement.model,
            "key": judgement.key,
        }
        for answer, judgement in zip(answers, judgements, strict=True)
    ]
