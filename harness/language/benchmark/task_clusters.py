"""The clusters of a row's items, as the suite names them: a column of the documents, or the question's own text.

In a group, documents of several tasks with the same value are one cluster: the parts of GPQA hold the same questions, a task in
several wordings holds every question in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.clusters import column_key, key_of, numbered, refuse_one_cluster
from harness.errors import UserError
from harness.language.benchmark.task_trial import names_reported
from harness.loop.suite import QUESTION, Suite, SuiteTask
from harness.records import EvalRecord

Keys = dict[str, list[str]]  # lm-eval task -> the cluster's key of every document, in their order


def cluster_keys(suite: Suite, row: SuiteTask, tasks: Mapping[str, Any]) -> Keys:
    """The key of every document behind a row that names a cluster; nothing for one that does not.

    tasks: lm-eval's, loaded, by name. Raises UserError where a document has no such column or nothing in it, where the question
    is no text, and where all documents are one cluster, of whose mean no error can be known.
    """
    if row.cluster is None:
        return {}
    where = f'suite {suite.name}, task {row.name}: cluster = "{row.cluster}"'
    found: Keys = {}
    for name, task in tasks.items():
        try:
            found[name] = _of_documents(where, row.cluster, name, task)
        except UserError:
            reported = names_reported(task, row.filter) if len(tasks) > 1 else None
            if reported is None or row.metric in reported:
                raise
    refuse_one_cluster([key for mine in found.values() for key in mine], where)
    return found


def _of_documents(where: str, cluster: str, name: str, task: Any) -> list[str]:
    if cluster == QUESTION:
        return [_question(where, f"document {number} of {name}", task, doc) for number, doc in enumerate(task.eval_docs)]
    hint = f"; {QUESTION} is the question's own text"
    return [column_key(doc, cluster, where, f"document {number} of {name}", hint) for number, doc in enumerate(task.eval_docs)]


def _question(where: str, what: str, task: Any, doc: Any) -> str:
    try:
        text = task.doc_to_text(doc)
    except Exception as error:  # a task's own code
        said = " ".join(str(error).split())[:200]
        raise UserError(f"{where}: {what} has no question ({type(error).__name__}: {said})") from error
    if not isinstance(text, (str, list)):
        raise UserError(f"{where}: the question of {what} is no text but {text!r}; name a column of its documents")
    if (key := key_of(text)) is None:
        raise UserError(f"{where}: {what} has no question; name a column of its documents")
    return key


def clusters_asked(keys: Keys, asked: Mapping[str, Sequence[int]] | None) -> list[int]:
    """The cluster of every item asked, tasks by name, documents in order. asked: which documents of every task; None: all."""
    return numbered(
        [key for name in sorted(keys) for key in (keys[name] if asked is None else [keys[name][n] for n in asked[name]])]
    )


def clustered(
    row: SuiteTask,
    record: EvalRecord,
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    keys: Keys,
    tasks: Mapping[str, Any],
    equal_tasks: bool,
    iters: int,
) -> EvalRecord:
    """A row's record with the error of sampling clusters in place of that of sampling items, and how many clusters there are.

    samples: lm-eval's own, by task, as its aggregations take them. equal_tasks: whether a group's tasks count the same whatever
    their size. iters: resamples for a metric whose error is bootstrapped.
    """
    from harness.language.benchmark.standard_errors import Item, clustered_error  # lm-eval takes seconds to load

    mine = [(name, s) for name in samples for s in samples[name] if s["filter"] == row.filter and row.metric in s]
    clusters = numbered([keys[name][s["doc_id"]] for name, s in mine])
    items = [Item(name, cluster, s[row.metric]) for (name, s), cluster in zip(mine, clusters, strict=True)]
    aggregations = {name: tasks[name].aggregation().get(row.metric) for name in samples}
    error = clustered_error(items, row.metric, aggregations, equal_tasks, record.value, iters)
    return replace(record, stderr=error, clusters=len(set(clusters)))
