"""The clusters of a row's items, as the suite names them: a column of the documents, or the question's own text.

In a group, documents of several tasks with the same value are one cluster: the subsets of GPQA contain the same questions, a task
in several wordings contains every question in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.clusters import check_several_clusters, column_key, number_clusters, value_key
from harness.errors import UserError, error_line
from harness.language.benchmark.row_scores import Samples
from harness.language.benchmark.task_trial import reported_metric_names
from harness.loop.suite import QUESTION_FIELD, Suite, SuiteTask
from harness.records import EvalRecord

ClusterKeys = dict[str, list[str]]  # lm-eval task -> the cluster's key of every document, in their order


def cluster_keys(suite: Suite, row: SuiteTask, tasks: Mapping[str, Any]) -> ClusterKeys:
    """The key of every document behind a row that names a cluster; empty for one that does not.

    tasks: lm-eval's, loaded, by name. Raises UserError where a document has no such column or nothing in it, where the question
    is no text, and where all documents are one cluster, so that the mean has no standard error.
    """
    if row.cluster is None:
        return {}
    where = f'suite {suite.name}, task {row.name}: cluster = "{row.cluster}"'
    keys: ClusterKeys = {}
    for name, task in tasks.items():
        try:
            keys[name] = _document_keys(where, row.cluster, name, task)
        except UserError:
            metrics = reported_metric_names(task, row.filter) if len(tasks) > 1 else None
            if metrics is None or row.metric in metrics:
                raise
    check_several_clusters([key for task_keys in keys.values() for key in task_keys], where)
    return keys


def _document_keys(where: str, cluster: str, name: str, task: Any) -> list[str]:
    if cluster == QUESTION_FIELD:
        return [_question_key(where, f"document {number} of {name}", task, doc) for number, doc in enumerate(task.eval_docs)]
    hint = f"; {QUESTION_FIELD} is the question's own text"
    return [column_key(doc, cluster, where, f"document {number} of {name}", hint) for number, doc in enumerate(task.eval_docs)]


def _question_key(where: str, what: str, task: Any, doc: Any) -> str:
    try:
        text = task.doc_to_text(doc)
    except Exception as error:  # a task's own code
        raise UserError(f"{where}: {what} has no question ({type(error).__name__}: {error_line(error)})") from error
    if not isinstance(text, (str, list)):
        raise UserError(f"{where}: the question of {what} is not a text but {text!r}; name a column of its documents")
    if (key := value_key(text)) is None:
        raise UserError(f"{where}: {what} has no question; name a column of its documents")
    return key


def item_clusters(keys: ClusterKeys, doc_ids: Mapping[str, Sequence[int]]) -> list[int]:
    """The cluster of every evaluated item, tasks by name, documents in order. doc_ids: those evaluated of every task."""
    return number_clusters([keys[name][n] for name in sorted(keys) for n in doc_ids[name]])


def with_cluster_stderr(
    row: SuiteTask,
    record: EvalRecord,
    samples: Mapping[str, Samples],
    keys: ClusterKeys,
    tasks: Mapping[str, Any],
    equal_tasks: bool,
    iters: int,
) -> EvalRecord:
    """A row's record with the error of sampling clusters in place of that of sampling items, and the number of clusters.

    samples: lm-eval's own, by task, as its aggregations take them. equal_tasks: whether a group's tasks have the same weight
    whatever their size. iters: resamples for a metric whose error is bootstrapped.
    """
    from harness.language.benchmark.standard_errors import Item, clustered_row_stderr  # lm-eval takes seconds to load

    scored_samples = [(name, s) for name in samples for s in samples[name] if s["filter"] == row.filter and row.metric in s]
    clusters = number_clusters([keys[name][s["doc_id"]] for name, s in scored_samples])
    items = [Item(name, cluster, s[row.metric]) for (name, s), cluster in zip(scored_samples, clusters, strict=True)]
    aggregations = {name: tasks[name].aggregation().get(row.metric) for name in samples}
    stderr = clustered_row_stderr(items, row.metric, aggregations, equal_tasks, record.value, iters)
    return replace(record, stderr=stderr, clusters=len(set(clusters)))
