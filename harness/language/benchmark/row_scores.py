"""lm-eval's result -> a row's record, and the score of each of its items."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis.clusters import number_clusters
from harness.errors import EvaluationError
from harness.loop.suite import Suite, SuiteTask
from harness.records import EvalRecord, digest

Samples = Sequence[Mapping[str, Any]]  # lm-eval's of one or several tasks


def subtasks_with_metric(row: SuiteTask, result: Mapping[str, Any], subtasks: Sequence[str]) -> list[str]:
    """The lm-eval tasks that the row's score is over: all behind it, or of a group those that report the metric."""
    key = f"{row.metric},{row.filter}"
    reporting = [subtask for subtask in subtasks if key in result["results"].get(subtask, {})]
    return reporting or list(subtasks)


def make_record(
    row: SuiteTask, suite: Suite, result: Mapping[str, Any], subtasks: Sequence[str], samples: Samples | None = None
) -> EvalRecord:
    """The row's score; n: samples of the tasks behind it that have the metric. EvaluationError without metric or filter."""
    scores = result["results"].get(row.name) or result.get("groups", {}).get(row.name) or {}
    key = f"{row.metric},{row.filter}"
    value = scores.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        reported_keys = sorted(k for k in scores if "," in k and "_stderr" not in k)
        reason = f"it is {value!r}" if key in scores else f"it has {', '.join(reported_keys) or 'nothing'}"
        raise EvaluationError(f"suite {suite.name}, task {row.name}: lm-eval gave no number for {key!r} ({reason})")
    stderr = scores.get(f"{row.metric}_stderr,{row.filter}")
    n = sum(result["n-samples"][subtask]["effective"] for subtask in subtasks)
    if samples is not None:  # a document may leave the metric out
        n = sum(s["filter"] == row.filter and row.metric in s for s in samples)
    version = str(result.get("versions", {}).get(row.name, "unversioned"))
    return row_record(suite, row, float(value), float(stderr) if isinstance(stderr, (int, float)) else None, int(n), version)


def row_record(suite: Suite, row: SuiteTask, value: float, stderr: float | None, n: int, task_version: str) -> EvalRecord:
    """A row's score with what the suite says of the row."""
    return EvalRecord(
        row.name, row.metric, row.filter, value, stderr, n, row.shots, task_version, suite.name, suite.version,
        row.higher_is_better, row.chance,
    )  # fmt: skip


def weights_tasks_equally(row: SuiteTask, loaded: Mapping[str, Any]) -> bool:
    """Whether the row is a group whose score is the plain mean of its tasks', whatever their sizes (weight_by_size: false)."""
    group = loaded.get("groups", {}).get(row.name)
    entries = (group.aggregate_metric_list or []) if group is not None else []
    matching = [e for e in entries if e.metric == row.metric and (e.filter_list is None or row.filter in e.filter_list)]
    return bool(matching) and not matching[-1].weight_by_size


def make_item_scores(
    row: SuiteTask, samples: Samples, equal_tasks: bool = False, keys: Mapping[str, Sequence[str]] | None = None
) -> dict[str, Any]:
    """Each item's contribution to the row's score, in the order of evaluation, and a digest of the items and their prompts.

    `values` is None where the metric is not made of one number per item (a corpus metric): such rows cannot be paired. Numbers
    whose mean is not the score (log-likelihoods behind a perplexity) are kept; they are not paired either. `parts`, where every
    task of a group has the same weight: the number of items of each task. `clusters`, where items share one (keys: of every
    lm-eval task's documents): the index of every item's cluster, in order of first appearance. `predictions`: the number of every
    item's predicted text, in order of first appearance; `chosen`: the place of the predicted option among the item's;
    `unanswered`: items whose generated text has no answer in it.
    """
    counted = [s for s in samples if s["filter"] == row.filter]
    counted.sort(key=lambda s: (s.get("task", ""), s["doc_id"]))
    values = [s[row.metric] for s in counted if isinstance(s.get(row.metric), (bool, int, float))]
    is_complete = bool(counted) and len(values) == len(counted)
    items_digest = digest(*(f"{s.get('task', row.name)} {s['doc_id']} {s['doc_hash']} {s['prompt_hash']}" for s in counted))
    item_scores: dict[str, Any] = {"items": items_digest, "values": [float(v) for v in values] if is_complete else None}
    sizes = collections.Counter(s.get("task", row.name) for s in counted)
    if is_complete and equal_tasks and len(sizes) > 1:
        item_scores["parts"] = list(sizes.values())
    if is_complete and keys:
        clusters = number_clusters([keys[s.get("task", row.name)][s["doc_id"]] for s in counted])
        if max(clusters) + 1 < len(clusters):
            item_scores["clusters"] = clusters
    predictions = [predicted_text(s, row.metric) for s in counted]
    if is_complete and None not in predictions:
        item_scores["predictions"] = number_clusters([str(text) for text in predictions])
        if isinstance(counted[0]["filtered_resps"][0], str):
            item_scores["unanswered"] = sum(text in ("", NO_ANSWER) for text in predictions)
        else:
            item_scores["chosen"] = [predicted_option(s, row.metric) for s in counted]
    return item_scores


NO_ANSWER = "[invalid]"  # what lm-eval's regex filter gives where it finds nothing


def predicted_text(sample: Mapping[str, Any], metric: str) -> str | None:
    """The option that the metric takes, or what the filter took from the generated text; None for other kinds of task."""
    responses: Sequence[Any] = sample.get("filtered_resps") or [None]
    if all(isinstance(response, str) for response in responses):
        return str(responses[0]).strip()
    option = predicted_option(sample, metric)
    return None if option is None else _continuation(sample["arguments"], option)


def predicted_option(sample: Mapping[str, Any], metric: str) -> int | None:
    """The place of the option with the largest log-likelihood, for acc_norm and acc_bytes that per character or byte of the
    option (as lm-eval has it, without the delimiter before it); None where there are no options."""
    responses: Sequence[Any] = sample.get("filtered_resps") or [None]
    is_choice = len(responses) > 1 and all(isinstance(r, (list, tuple)) and isinstance(r[0], (int, float)) for r in responses)
    if not is_choice or len(sample["arguments"]) != len(responses) or metric == "acc_mutual_info":
        return None
    count = len(responses) // 2 if "acc_mutual_info" in sample else len(responses)  # the rest is each option by itself

    def score(index: int) -> float:
        option = _continuation(sample["arguments"], index).lstrip()
        length = {"acc_norm": len(option), "acc_bytes": len(option.encode())}.get(metric, 1)
        return responses[index][0] / max(1, length)

    return max(range(count), key=score)


def _continuation(arguments: Any, index: int) -> str:
    """lm-eval's arguments are a list of (context, continuation), or, once logged, a mapping of such mappings."""
    if isinstance(arguments, Mapping):
        return str(arguments[f"gen_args_{index}"]["arg_1"])
    return str(arguments[index][1])
