"""Evaluate one checkpoint with lm-eval: EvalRecords and every evaluated sample. `lm.py` is the model class it calls.

lm-eval defines what a task means; this file guarantees three things that lm-eval does not: its response cache (not keyed by the
model) is never used; few-shot prompts are built in one process from a fixed seed, so they are the same whatever the batch
or device count, and their hash is recorded; a metric or filter that is not in the result is an error, never a zero.
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.errors import EvaluationError, UserError
from harness.language.benchmark import lm_eval_internals, row_scores
from harness.language.benchmark.load_tasks import load_row, make_task_manager, task_files
from harness.language.benchmark.nltk_data import use_nltk_data
from harness.language.benchmark.own_shots import shots_may_include_item
from harness.language.benchmark.suite_check import requirements
from harness.language.benchmark.task_clusters import ClusterKeys, cluster_keys, item_clusters, with_cluster_stderr
from harness.language.benchmark.task_definition import task_fingerprint
from harness.language.benchmark.task_errors import name_aggregation_errors
from harness.language.benchmark.task_notices import task_notes
from harness.language.benchmark.task_surroundings import LM_EVAL_SEEDS, allow_code_execution, ignore_arithmetic_warnings
from harness.language.benchmark.task_trial import check_loaded_task
from harness.language.hub_items import missing_from_mirror
from harness.language.policy import Policy
from harness.language.random_state import keep_random_state
from harness.loop.benchmark import Benchmark, EvalOptions, EvalResult
from harness.loop.suite import Suite, SuiteTask
from harness.progress import Advance
from harness.records import digest
from harness.sources.datasets_in_mirror import in_mirror
from harness.store.partial_results import NO_PARTIAL_RESULTS, PartialResults

DEFAULT_MAX_GEN_TOKS = 256  # tokens that lm-eval's transformers model generates where a task does not say
Encoding = tuple["array[int]", "array[int]"]  # of a context and its continuation
EncodingCache = dict[tuple[str, str], Encoding]
EMPTY_CONTINUATION_NOTE = "continuations add no token to those of their context; they count 0 nats and as greedy, as in lm-eval"
BOOTSTRAP_ITERATIONS = 1000  # only for metrics that are not means; lm-eval's standard errors of means are analytic


@dataclass
class LmEvalBenchmark(Benchmark):
    """A suite with its tasks loaded.

    `encoding_cache` holds the token ids of contexts and continuations, and the tasks hold their prompts: both are the same for
    every checkpoint with one tokenizer, and a benchmark is used with one only.
    """

    suite: Suite
    loaded_tasks: dict[str, Any]
    limit: int | None
    encoding_cache: EncodingCache = field(default_factory=dict)
    tokenizer: Any = None  # of the first checkpoint evaluated
    raw_name: str = "lm_eval.json"
    notes: tuple[str, ...] = ()
    allow_unsafe_code: bool = False
    cluster_keys: dict[str, ClusterKeys] = field(default_factory=dict)  # row -> the clusters of its documents, where it names one

    def tasks(self, row: SuiteTask) -> dict[str, Any]:
        """lm-eval's tasks behind a row, by name."""
        return self.loaded_tasks[row.name]["tasks"]

    def subtasks(self, row: SuiteTask) -> list[str]:
        return sorted(self.tasks(row))

    @cached_property
    def digest(self) -> str:  # type: ignore[override]
        """Digest of every evaluated document and its task's version, whatever file they came from."""
        parts = []
        for row, name, task in self._iter_tasks():
            docs = (json.dumps(doc, sort_keys=True, default=str) for doc in task.eval_docs)
            parts += [row.name, name, str(task.VERSION), *docs]
        return digest(*parts)

    @cached_property
    def task_fingerprints(self) -> dict[str, str]:  # type: ignore[override]
        """Digest of how every task builds prompts and scores: its file, the code that file calls, the pool of its shots."""
        parts = []
        for row, name, task in self._iter_tasks():
            with keep_random_state():
                random.seed(LM_EVAL_SEEDS["random"])  # as while loading
                fewshot_docs = list(task.fewshot_docs()) if row.shots else []
            parts += [row.name, name, task_fingerprint(task), json.dumps(fewshot_docs, sort_keys=True, default=str)]
            # earlier versions could have the item itself among its shots
            parts += ["without the item itself"] if shots_may_include_item(task) else []
        return {"definition": digest(*parts)}

    def _iter_tasks(self) -> Iterator[tuple[SuiteTask, str, Any]]:
        """Every lm-eval task behind every row: (row, its name, the task)."""
        return ((row, name, task) for row in self.suite.task for name, task in sorted(self.tasks(row).items()))

    def notices(self) -> Iterator[str]:
        """Where a task's prompts differ from lm-eval's, or a row's score is over a part of its group."""
        yield from self.notes
        yield from task_notes(self.suite, self.loaded_tasks)

    def doc_ids(self, row: SuiteTask) -> dict[str, Sequence[int]]:
        """The evaluated documents of every lm-eval task behind a row: all, or the first `limit`."""
        return {name: range(row.num_items(len(task.eval_docs), self.limit)) for name, task in self.tasks(row).items()}

    def items(self) -> dict[str, int]:
        return {row.name: sum(map(len, self.doc_ids(row).values())) for row in self.suite.task}

    def clusters(self) -> dict[str, list[int]]:
        rows = {row.name: row for row in self.suite.task}
        return {name: item_clusters(keys, self.doc_ids(rows[name])) for name, keys in self.cluster_keys.items()}

    def requests(self) -> int | None:
        """Known once the first checkpoint's prompts are built."""
        built = [lm_eval_internals.requests(task) for row in self.loaded_tasks.values() for task in row["tasks"].values()]
        return sum(len(instances) for instances in built if instances) if all(built) else None

    def check_context(self, policy: Policy) -> None:
        """Raises UserError for settings of generation that would fail hours later: too many tokens, or one not supported."""
        from harness.language.benchmark.lm import resolve_settings  # lm-eval takes seconds to load

        for _, name, task in self._iter_tasks():
            if task.OUTPUT_TYPE != "generate_until":
                continue
            try:
                settings = resolve_settings(policy.model, task.config.generation_kwargs, DEFAULT_MAX_GEN_TOKS, None)
            except UserError as error:
                raise UserError(f"suite {self.suite.name}, task {name}: {error}") from None
            if settings.max_gen_toks >= policy.context_length:
                raise UserError(
                    f"suite {self.suite.name}, task {name}: generates up to {settings.max_gen_toks} tokens, the model's context "
                    f"is {policy.context_length}; leave the task out or use a model with a longer context"
                )

    def evaluate(self, policy: Policy, options: EvalOptions) -> EvalResult:
        return evaluate(policy, self, options.max_tokens_per_batch, options.batch_size, options.advance, options.partial_results)


def load_lm_eval_benchmark(
    suite: Suite, limit: int | None, mirror: Path | None, allow_unsafe_code: bool = False
) -> LmEvalBenchmark:
    """Load every task of the suite and check it as far as that is possible without a model.

    Raises UserError, before anything is trained, for an unknown task (with the nearest name), a data set or package that is
    missing, a shot count the task cannot take, or a metric the task does not declare.
    """
    manager = make_task_manager(suite)
    task_requirements = requirements(suite, task_files(manager), allow_unsafe_code)
    row_problems = [problem for row in task_requirements for problem in row.all_problems()]
    for problem in (*row_problems, *missing_from_mirror(suite, task_requirements, mirror)):
        raise UserError(problem)
    with in_mirror(mirror), keep_random_state(), use_nltk_data(mirror), allow_code_execution(allow_unsafe_code):
        loaded = {row.name: load_row(manager, suite, row) for row in suite.task}
        for row in suite.task:
            check_loaded_task(suite, row, loaded[row.name])
        keys_by_row = {row.name: cluster_keys(suite, row, loaded[row.name]["tasks"]) for row in suite.task}
    keys = {name: row_keys for name, row_keys in keys_by_row.items() if row_keys}
    notes = tuple(note for row in task_requirements for note in row.notes)
    return LmEvalBenchmark(suite, loaded, limit, allow_unsafe_code=allow_unsafe_code, notes=notes, cluster_keys=keys)


def evaluate(
    policy: Policy,
    benchmark: LmEvalBenchmark,
    max_tokens_per_batch: int,
    batch_size: int,
    advance: Advance,
    partial_results: PartialResults = NO_PARTIAL_RESULTS,
) -> EvalResult:
    """Scores of `policy` on every row, options as in `EvalOptions`. EvaluationError where a metric or filter is missing."""
    from harness.language.benchmark.lm import as_lm  # lm-eval takes seconds to load

    suite = benchmark.suite
    benchmark.tokenizer = benchmark.tokenizer or policy.tokenizer
    if benchmark.tokenizer is not policy.tokenizer:
        raise RuntimeError(f"suite {suite.name}: its prompts were built with another tokenizer; load the benchmark again")
    model = as_lm(
        policy, max_tokens_per_batch, batch_size, benchmark.encoding_cache, advance, partial_results, suite.apply_chat_template
    )
    scores = EvalResult([], {}, {}, {}, "")
    prompt_hashes, notes = [], []
    for rows in _group_rows(benchmark):
        result = _run_lm_eval(benchmark, model, rows)
        # nan and inf become None: no number
        plain_result = json.loads(json.dumps(result, default=_to_jsonable), parse_constant=lambda word: None)
        samples_by_task = plain_result.pop("samples")
        for row in rows:
            subtasks = row_scores.subtasks_with_metric(row, plain_result, benchmark.subtasks(row))
            equal_tasks = row_scores.weights_tasks_equally(row, benchmark.loaded_tasks[row.name])
            scores.samples[row.name] = samples = [
                s | ({} if subtasks == [row.name] else {"task": name}) for name in subtasks for s in samples_by_task[name]
            ]
            try:
                record = row_scores.make_record(row, suite, plain_result, subtasks, samples)
                if keys := benchmark.cluster_keys.get(row.name):
                    by_subtask = {name: result["samples"][name] for name in subtasks}  # nan and inf as they are
                    tasks = benchmark.tasks(row)
                    record = with_cluster_stderr(row, record, by_subtask, keys, tasks, equal_tasks, BOOTSTRAP_ITERATIONS)
            except EvaluationError:
                check_items_finite(row, suite, samples)
                raise
            scores.records.append(record)
            scores.items[row.name] = row_scores.make_item_scores(row, samples, equal_tasks, keys)
            prompt_hashes += [f"{s.get('task', row.name)}:{s['doc_id']}:{s['filter']}:{s['prompt_hash']}" for s in samples]
            if replaced_shots := {name: t.shots_replaced for name, t in benchmark.tasks(row).items() if t.shots_replaced}:
                plain_result.setdefault("own_shots_replaced", {}).update(replaced_shots)
                notes.append(f"task {row.name}: {sum(replaced_shots.values())} items got another shot in place of their own text")
        scores.raw[", ".join(row.name for row in rows)] = plain_result
    notes += [f"{task}: {count} {EMPTY_CONTINUATION_NOTE}" for task, count in getattr(model, "without_token", {}).items()]
    order = [row.name for row in suite.task]
    scores.records.sort(key=lambda record: order.index(record.task))
    return replace(scores, prompt_hash=digest(*sorted(prompt_hashes)), notes=tuple(notes))


def _run_lm_eval(benchmark: LmEvalBenchmark, model: Any, rows: Sequence[SuiteTask]) -> Any:
    """lm-eval's result of rows that share no task."""
    from lm_eval import evaluator

    from harness.language.benchmark.standard_errors import override_lm_eval_stderr  # lm-eval takes seconds to load

    loaded_rows = [benchmark.loaded_tasks[row.name] for row in rows]
    is_limited = benchmark.limit is not None or any(row.limit is not None for row in rows)
    doc_ids = {name: ids for row in rows for name, ids in benchmark.doc_ids(row).items()} if is_limited else None
    with (
        keep_random_state(),
        override_lm_eval_stderr(),
        allow_code_execution(benchmark.allow_unsafe_code),
        ignore_arithmetic_warnings(),
        name_aggregation_errors(),
    ):
        random.seed(LM_EVAL_SEEDS["random"])
        return evaluator.evaluate(
            lm=model,
            task_dict={kind: {k: v for row in loaded_rows for k, v in row[kind].items()} for kind in loaded_rows[0]},  # type: ignore[arg-type]
            samples=doc_ids,  # type: ignore[arg-type]
            cache_requests=False,
            bootstrap_iters=BOOTSTRAP_ITERATIONS,
            log_samples=True,
            confirm_run_unsafe_code=benchmark.allow_unsafe_code,
            apply_chat_template=benchmark.suite.apply_chat_template,
            fewshot_as_multiturn=benchmark.suite.fewshot_as_multiturn and benchmark.suite.apply_chat_template,
        )


def _group_rows(benchmark: LmEvalBenchmark) -> list[list[SuiteTask]]:
    """Rows that lm-eval can evaluate in one call, so that their requests share batches: no task or group occurs twice."""
    groups: list[tuple[set[str], list[SuiteTask]]] = []
    for row in benchmark.suite.task:
        names = {name for kind in benchmark.loaded_tasks[row.name].values() for name in kind} | {row.name}
        group = next((entry for entry in groups if not entry[0] & names), None)
        if group is None:
            groups.append((names, [row]))
        else:
            group[0].update(names)
            group[1].append(row)
    return [rows for _, rows in groups]


def check_items_finite(row: SuiteTask, suite: Suite, samples: row_scores.Samples) -> None:
    """Raises EvaluationError listing the items without a finite number (None in `samples`), where a row's score is none."""
    bad_samples = [s for s in samples if s["filter"] == row.filter and row.metric in s and s[row.metric] is None]
    if bad_samples:
        shown_items = ", ".join(f"{s.get('task', row.name)} {s['doc_id']}" for s in bad_samples[:3])
        raise EvaluationError(
            f"suite {suite.name}, task {row.name}: {row.metric} is no finite number for {len(bad_samples)} of its items "
            f"({shown_items}{', ...' if len(bad_samples) > 3 else ''}); leave the task out, or take another metric"
        )


def _to_jsonable(value: Any) -> Any:
    """JSON for what lm-eval leaves in its results: numpy numbers and arrays, sets, dtypes, functions."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return getattr(value, "__name__", None) or str(value)
