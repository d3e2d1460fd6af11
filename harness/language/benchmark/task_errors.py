"""Errors that a task's own code or metric raises, each as one line with task, step and item."""

from __future__ import annotations

import contextlib
import functools
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.errors import EvaluationError, UserError, disk_error, error_line
from harness.language.benchmark.lm_eval_internals import surround_aggregation

# Methods that lm-eval calls with a document as first argument -> what an error in them means.
ITEM_STEP_FAILURES = {
    "fewshot_context": "its prompt cannot be built",
    "construct_requests": "its requests cannot be built",
    "doc_to_target": "its target cannot be computed",
    "process_results": "its answer cannot be scored",
}


def wrap_task_errors(task: Any, where: str) -> None:
    """Turn what the task's code raises into an EvaluationError with its place: suite and row, and which task of a group."""
    where = where if where.endswith(f" {task.task_name}") else f"{where}: {task.task_name}"
    for method, what in ITEM_STEP_FAILURES.items():
        setattr(task, method, _wrap_item_call(getattr(task, method), task, where, what))
    task.apply_filters = _error_context(f"{where}: its filters fail on the answers")(task.apply_filters)


def _wrap_item_call(call: Any, task: Any, where: str, what: str) -> Any:
    @functools.wraps(call)
    def wrapper(doc: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(doc, *args, **kwargs)
        except Exception as error:
            index = next((n for n, other in enumerate(task.eval_docs) if other == doc), "unknown")
            raise _to_evaluation_error(error, f"{where}, item {index}: {what}") from error

    return wrapper


def name_aggregation_errors() -> contextlib.AbstractContextManager[None]:
    """Within it an error in aggregating a task's item scores names the task."""

    def context(task: str, metrics: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        return _error_context(f"task {task}: its items' scores cannot be aggregated ({', '.join(metrics)})")

    return surround_aggregation(context)


@contextlib.contextmanager
def _error_context(message: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise _to_evaluation_error(error, message) from error


def _to_evaluation_error(error: Exception, message: str) -> Exception:
    """The error with its place in front; one that has a message of its own, or that is the machine's, unchanged."""
    if isinstance(error, (UserError, EvaluationError, MemoryError)) or disk_error(error) is not None:
        return error
    frame = traceback.extract_tb(error.__traceback__)[-1]
    location = f"{Path(frame.filename).name}, line {frame.lineno}"
    return EvaluationError(f"{message}: {type(error).__name__}: {error_line(error)} ({location}); fix the task or leave it out")
