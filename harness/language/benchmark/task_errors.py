"""An error that a task's own code or metric raises, as one line that names task, step and item."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from harness.errors import EvaluationError, UserError, disk_trouble

# What lm-eval calls with a document first, in words.
OF_AN_ITEM = {
    "fewshot_context": "its prompt cannot be built",
    "construct_requests": "its requests cannot be built",
    "doc_to_target": "its right answer cannot be read",
    "process_results": "its answer cannot be scored",
}


def name_errors(task: Any, where: str) -> None:
    """Let what the task's code raises be an EvaluationError that says where: suite and row, and which task of a group."""
    where = where if where.endswith(f" {task.task_name}") else f"{where}: {task.task_name}"
    for method, what in OF_AN_ITEM.items():
        setattr(task, method, _of_an_item(getattr(task, method), task, where, what))
    filtered = task.apply_filters

    def apply_filters() -> Any:
        with _said(where, "its filters fail on the answers"):
            return filtered()

    task.apply_filters = apply_filters


def _of_an_item(call: Any, task: Any, where: str, what: str) -> Any:
    @functools.wraps(call)
    def called(doc: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(doc, *arguments, **named)
        except Exception as error:
            raise _named(error, f"{where}, item {_number(task, doc)}: {what}") from error

    return called


def _number(task: Any, doc: Any) -> Any:
    return next((n for n, other in enumerate(task.eval_docs) if other == doc), "unknown")


@contextlib.contextmanager
def aggregation_named() -> Iterator[None]:
    """While it lasts, an error in putting a task's items together names the task."""
    from lm_eval import evaluator_utils

    theirs = evaluator_utils._compute_task_aggregations

    def named(task: Any, raw_metrics: Any, *rest: Any, **more: Any) -> Any:
        metrics = ", ".join(dict.fromkeys(metric for metric, _ in raw_metrics))
        with _said(f"task {task.task_name}", f"the items' numbers cannot be put together ({metrics})"):
            return theirs(task, raw_metrics, *rest, **more)

    with mock.patch.object(evaluator_utils, "_compute_task_aggregations", named):
        yield


@contextlib.contextmanager
def _said(where: str, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _named(error, f"{where}: {what}") from error


def _named(error: Exception, said: str) -> Exception:
    """The error with its place in front; one that has its own line, or that is the machine's, as it is."""
    if isinstance(error, (UserError, EvaluationError, MemoryError)) or disk_trouble(error) is not None:
        return error
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())[:200]
    at = f"{Path(last.filename).name}, line {last.lineno}"
    return EvaluationError(f"{said}: {type(error).__name__}: {text} ({at}); mend the task or leave it out")
