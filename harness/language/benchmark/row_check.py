"""Check a suite's row against its lm-eval task files: metric, filter, direction, shots; groups and tags without a score.

Read from the task files alone, as lm-eval 0.4.13 reads them. What is known only by running (a metric that the task's own Python
code reports) is left to `task_trial`, what depends on the model to `LmEvalBenchmark.check_context`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import did_you_mean
from harness.language.benchmark.lm_eval_internals import default_metrics
from harness.language.benchmark.task_file import TaskFile
from harness.loop.suite import SuiteTask

# The metrics that lm-eval's own process_results computes; any other in the list of such a task is never reported.
CHOICE_METRICS = "acc acc_norm acc_bytes acc_mutual_info brier_score exact_match f1 likelihood mcc"
METRICS_BY_OUTPUT_TYPE = {
    "multiple_choice": set(CHOICE_METRICS.split()),
    "loglikelihood": {"acc", "perplexity"},
    "loglikelihood_rolling": {"bits_per_byte", "byte_perplexity", "word_perplexity"},
}
REGEX_FILTERS = {"regex", "regex_pos", "multi_choice_regex"}


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings of a list in a task file, or one alone; empty for anything else."""
    entries = value if isinstance(value, (list, tuple)) else [value]
    return [entry for entry in entries if isinstance(entry, Mapping)]


def reported_metrics(settings: Mapping[str, Any]) -> tuple[set[str], bool]:
    """Names of the metrics that a task reports, and whether that is all: its own code may report others."""
    metric_list, output_type = settings.get("metric_list"), str(settings.get("output_type") or "generate_until")
    if "class" in settings or not isinstance(metric_list, (list, type(None))):
        return set(), False
    listed = {metric_name(entry["metric"]) for entry in mappings(metric_list) if "metric" in entry}
    names = set(default_metrics(output_type)) if metric_list is None else listed
    if settings.get("process_results") is not None:
        return names, False
    if output_type in METRICS_BY_OUTPUT_TYPE:
        return names & METRICS_BY_OUTPUT_TYPE[output_type], True
    # a function may return several metrics under names of its own
    open_ended = any(entry.get("hf_evaluate") or not _is_plain_name(entry.get("metric")) for entry in mappings(metric_list))
    return names, not open_ended


def metric_name(metric: Any) -> str:
    """A metric's name; that of `!function utils.f`, read as a path or resolved, is the function's."""
    return metric if _is_plain_name(metric) else getattr(metric, "__name__", str(metric).rpartition(".")[2])


def _is_plain_name(metric: Any) -> bool:
    return isinstance(metric, str) and not metric.startswith("/")


def filter_names(settings: Mapping[str, Any]) -> set[str]:
    filter_list = settings.get("filter_list")
    return {"none"} if filter_list is None else {str(entry["name"]) for entry in mappings(filter_list) if "name" in entry}


def higher_is_better(settings: Mapping[str, Any], metric: str) -> bool | None:
    """Whether higher is better for a metric of this task in lm-eval; None where it is not declared."""
    from lm_eval.api.registry import is_higher_better

    for entry in mappings(settings.get("metric_list")):
        if metric_name(entry.get("metric")) == metric and "higher_is_better" in entry:
            return entry["higher_is_better"] if isinstance(entry["higher_is_better"], bool) else None
    return is_higher_better(metric) if metric in reported_metrics(settings)[0] else None


# ---------------------------------------------------------------- problems, one line each


def direction_problems(row: SuiteTask, tasks: Sequence[TaskFile]) -> Iterator[str]:
    """The first task for which lm-eval declares the opposite direction of the row's."""
    for task in tasks:
        declared = higher_is_better(task.settings, row.metric)
        if declared is not None and declared != row.higher_is_better:
            yield (
                f"in lm-eval {'higher' if declared else 'lower'} {row.metric} is better for {task.name}, the row declares the "
                f"opposite; write higher_is_better = {str(declared).lower()} in the row"
            )
            return


def missing_metric_or_filter(row: SuiteTask, task: TaskFile) -> Iterator[str]:
    """The row's metric or filter, where the task certainly does not report it."""
    names, complete = reported_metrics(task.settings)
    if complete and row.metric not in names:
        yield f'{task.name} has no metric "{row.metric}"{did_you_mean(row.metric, names)}'
    known_filters = filter_names(task.settings)
    if row.filter not in known_filters:
        shown_filters = ", ".join(sorted(known_filters)) or "none at all: its filter_list is empty"
        yield f'{task.name} has no filter "{row.filter}" (it has {shown_filters})'


def task_problems(row: SuiteTask, task: TaskFile, allow_unsafe_code: bool) -> Iterator[str]:
    """Settings of a task that do not fit the row or are not supported."""
    settings = task.settings
    if settings.get("num_fewshot") == 0 and row.shots:
        yield f"{task.name} is fixed at 0 shots, the suite has shots = {row.shots}; set it to 0"
    if settings.get("unsafe_code") and not allow_unsafe_code:
        yield (
            f"{task.name} runs code that the model has written (unsafe_code: true); allow it with --set "
            "evaluation.allow_unsafe_code=true in an environment where that is safe, or leave the task out"
        )
    for name, modality in (("doc_to_image", "image"), ("doc_to_audio", "audio")):
        if settings.get(name):
            yield f"{task.name} has {modality} inputs ({name}), which are not supported; leave the task out"
    repeats = settings.get("repeats", 1)
    if repeats is not None and (not isinstance(repeats, int) or repeats < 1):
        yield f"{task.name} repeats={repeats!r}: expected a whole number from 1"
    repeats = repeats if isinstance(repeats, int) else 1
    for entry in mappings(settings.get("filter_list")):
        for step in mappings(entry.get("filter")):
            name, pattern, k = f"{task.name} filter {entry.get('name')}", step.get("regex_pattern"), step.get("k")
            if step.get("function") == "take_first_k" and isinstance(k, int) and k > repeats:
                yield f"{name} takes the first {k} answers, but repeats is {repeats}; set repeats to at least {k}"
            if step.get("function") in REGEX_FILTERS and isinstance(pattern, str):
                try:
                    re.compile(pattern)
                except re.error as error:
                    yield f"{name}: regex_pattern {pattern!r} is no regular expression ({error})"


def tag_problem(row: SuiteTask, tag: TaskFile) -> str:
    first = tag.members[0] if tag.members else "its tasks"
    return (
        f"is a tag of {len(tag.members)} task(s), which has no score of its own; name its tasks as rows ({first}, ...), or a "
        f"group over it: a file with group: NAME, task: [{tag.name}], aggregate_metric_list: [{{metric: {row.metric}}}]"
    )


def group_problems(row: SuiteTask, group: TaskFile) -> Iterator[str]:
    """Why lm-eval gives the group no score under the row's metric and filter."""
    aggregated = mappings(group.settings.get("aggregate_metric_list"))
    matching = [entry for entry in aggregated if entry.get("metric") == row.metric]
    filter_lists = [entry["filter_list"] for entry in matching if entry.get("filter_list") is not None]
    known_filters = {str(name) for names in filter_lists for name in ([names] if isinstance(names, str) else names)}
    advice = f"add aggregate_metric_list: [{{metric: {row.metric}}}] to its file, or name its tasks as rows"
    if not group.members:
        yield "is a group without a list of tasks (task: [...]), which has no score"
    elif not aggregated:
        yield f"is a group without aggregate_metric_list, so it has no score; {advice}"
    elif not matching:
        other_metrics = ", ".join(sorted({str(entry.get("metric")) for entry in aggregated}))
        yield f"is a group that averages {other_metrics}, not {row.metric}; {advice}"
    elif len(filter_lists) == len(matching) and row.filter not in known_filters:
        yield f'is a group that averages {row.metric} of filter {", ".join(sorted(known_filters))}, not of "{row.filter}"'
