"""Try a loaded lm-eval task on made-up answers, to see which metrics its own Python code reports.

A task's `process_results` may return any names, whatever its file lists. It is called on its first items with a made-up answer,
and only the names in its result are used. Code marked as unsafe is not run, nor a metric of Hugging Face's evaluate, which may be
downloaded; where the code fails on a made-up answer the metrics are unknown, and no problem is reported.
"""

from __future__ import annotations

import contextlib
import io
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import UserError, did_you_mean
from harness.language.benchmark import lm_eval_internals
from harness.language.benchmark.row_check import mappings, reported_metrics
from harness.loop.suite import Suite, SuiteTask

NUM_ITEMS_TRIED = 8
DUMMY_ANSWER = "0"
DUMMY_ANSWERS: dict[str, Any] = {"loglikelihood": (-1.0, False), "loglikelihood_rolling": -1.0}


def check_loaded_task(suite: Suite, row: SuiteTask, loaded: Mapping[str, Any]) -> None:
    """Raises UserError for a row to which lm-eval would give no score, as far as that can be known without a model."""
    where = f"suite {suite.name}, task {row.name}"
    if row.name not in loaded.get("groups", {}) and set(loaded["tasks"]) != {row.name}:
        names = ", ".join(sorted(loaded["tasks"])[:3])
        raise UserError(f"{where}: lm-eval loads it as {names}, under which its scores are; name these as rows")
    known_metrics: set[str] = set()
    for name, task in loaded["tasks"].items():
        _check_metrics_exist(where, name, task)
        names = reported_metric_names(task, row.filter)
        if names is None or row.metric in names:
            return
        known_metrics |= names
    raise UserError(f'{where}: reports no metric "{row.metric}"{did_you_mean(row.metric, known_metrics)}')


def _check_metrics_exist(where: str, name: str, task: Any) -> None:
    """Raises UserError for a metric or aggregation that lm-eval lacks: it is None there, and fails only after the answers."""
    from lm_eval.api.metrics import f1_score

    aggregations = lm_eval_internals.aggregations(task)
    for metric, function in aggregations.items():
        if not callable(function):
            raise UserError(f"{where}: {name} aggregates {metric} with a function that lm-eval does not have")
    output_type = getattr(task, "OUTPUT_TYPE", None)
    if getattr(task.config, "process_results", None) is not None:
        return
    if output_type == "multiple_choice" and f1_score in aggregations.values():
        max_choices = max((len(task.doc_to_choice(doc)) for doc in _first_items(task)), default=0)
        if max_choices > 2:
            raise UserError(
                f"{where}: {name} lists f1, which in lm-eval is binary and fails at a third class; its items have {max_choices} "
                "choices; give f1 an aggregation of its own there, or leave it out"
            )
    for metric, function in lm_eval_internals.metric_functions(task).items() if output_type == "generate_until" else ():
        if function is None:
            raise UserError(f'{where}: {name} lists the metric "{metric}", which neither lm-eval nor the package evaluate has')


def reported_metric_names(task: Any, filter_name: str) -> set[str] | None:
    """The metrics that a loaded task reports under a filter; None where that cannot be known beforehand."""
    settings = getattr(task.config, "__dict__", {})
    names, complete = reported_metrics(settings)
    if complete and not lm_eval_internals.has_own_scoring(task):
        return names
    uses_hf_evaluate = any(entry.get("hf_evaluate") for entry in mappings(settings.get("metric_list")))
    if getattr(task, "UNSAFE_CODE", False) or uses_hf_evaluate:
        return None
    metrics: set[str] = set()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            for doc in _first_items(task):
                metrics |= set(task.process_results(doc, _dummy_answers(task, doc, filter_name)))
    except Exception:  # third-party code, called with a made-up answer
        return None
    return metrics or None


def _first_items(task: Any) -> Iterator[Any]:
    return itertools.islice(iter(task.eval_docs), NUM_ITEMS_TRIED)


def _dummy_answers(task: Any, doc: Any, filter_name: str) -> Sequence[Any]:
    """What lm-eval would pass to process_results for one document: one filtered answer per request."""
    from lm_eval.api.instance import Instance

    kind, answers = task.OUTPUT_TYPE, [DUMMY_ANSWERS.get(task.OUTPUT_TYPE, DUMMY_ANSWER)]
    if kind == "multiple_choice":
        choices = len(task.doc_to_choice(doc)) * (2 if "acc_mutual_info" in lm_eval_internals.metric_functions(task) else 1)
        kind, answers = "loglikelihood", [(-1.0 - n, n == 0) for n in range(choices)]
    repeats = int(getattr(task.config, "repeats", 1) or 1)
    instances = []
    for number, answer in enumerate(answers):
        instance = Instance(request_type=kind, doc=doc, arguments=("", {}), idx=number, metadata=(task.task_name, 0, repeats))
        instance.resps = [answer] * repeats
        instances.append(instance)
    lm_eval_internals.apply_filter(task, filter_name, instances)
    return [instance.filtered_resps[filter_name] for instance in instances]
