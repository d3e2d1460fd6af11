"""A suite's tasks as lm-eval loads them: its index, one row's tasks, and their requests built once for all checkpoints."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from harness.errors import UserError, error_line
from harness.language.benchmark import lm_eval_internals
from harness.language.benchmark.own_shots import exclude_item_from_shots
from harness.language.benchmark.task_errors import wrap_task_errors
from harness.language.benchmark.task_file import TaskFile
from harness.language.benchmark.task_surroundings import RandomState
from harness.language.text.template_limits import limit_task_templates
from harness.loop.suite import Suite, SuiteTask

FEWSHOT_SEED = 1234  # lm-eval's own default


def make_task_manager(suite: Suite) -> Any:
    """lm-eval's index of the suite's task files; with lm-eval's own tasks this takes seconds."""
    lm_eval_internals.silence()
    limit_task_templates()
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=[str(p) for p in suite.include_folders()], include_defaults=suite.include_defaults)


def task_files(manager: Any) -> dict[str, TaskFile]:
    """Every task, group and tag of an lm-eval TaskManager, from the task files alone; no data set is loaded."""
    tagged: dict[str, list[str]] = {}
    files = {}
    for name, entry in manager.task_index.items():
        if entry.cfg:  # a tag has none
            members = entry.cfg.get("task") if "group" in entry.cfg else ()
            files[name] = TaskFile(name, entry.cfg, tuple(members) if isinstance(members, list) else ())
            for tag in entry.tags:
                tagged.setdefault(tag, []).append(name)
    return {tag: TaskFile(tag, {}, tuple(sorted(names))) for tag, names in tagged.items()} | files


def load_row(manager: Any, suite: Suite, row: SuiteTask) -> dict[str, Any]:
    """lm-eval's tasks and groups of a row, each task with the row's shots. Raises UserError for what cannot be loaded."""
    where = f"suite {suite.name}, task {row.name}"
    random_state = RandomState()
    try:
        with random_state.resumed():
            loaded = manager.load([row.name])
    except Exception as error:  # a task file may run any code; whatever it raises, the task cannot be evaluated
        message = error_line(error, 300)
        if isinstance(error, UserError):
            reason = str(error)
        elif isinstance(error, ModuleNotFoundError) or type(error) is LookupError:  # the latter is nltk's
            reason = f"needs something that is not installed: {message}"
        else:
            reason = f"cannot be loaded ({type(error).__name__}: {message})"
        raise UserError(f"{where}: {reason}") from error
    for name, task in loaded["tasks"].items():
        _cache_requests(task, random_state)
        _read_first_documents_only(task)
        task.set_config(key="num_fewshot", value=row.shots)
        if row.shots and row.shots > (pool_size := len(task.fewshot_docs())):
            raise UserError(f"{where}: shots = {row.shots}, but {name} has {pool_size} examples to draw them from; use fewer")
        exclude_item_from_shots(task, where)
        wrap_task_errors(task, where)
    return loaded  # type: ignore[return-value]


def _cache_requests(task: Any, random_state: RandomState) -> None:
    """Let lm-eval build the task's requests once and reuse them for every checkpoint with the same options."""
    original_build = task.build_all_requests
    built_options: dict[str, Any] = {}

    def build_or_reuse(**options: Any) -> None:
        # chat_template is a method of the model, another object each time
        request_options = {name: value for name, value in options.items() if name != "chat_template"}
        if not lm_eval_internals.requests(task) or built_options != request_options:
            built_options.clear()
            lm_eval_internals.discard_requests(task)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
            with random_state.resumed():
                original_build(**options)
            built_options.update(request_options)
        for instance in lm_eval_internals.requests(task) or ():
            instance.resps, instance.filtered_resps = [], {}  # the previous checkpoint's answers

    task.build_all_requests = build_or_reuse


def _read_first_documents_only(task: Any) -> None:
    """Let lm-eval read no document behind the last one evaluated: it reads all, for every checkpoint, and asks of each whether it
    is in a list.
    """
    original_iterator = task.doc_iterator

    def doc_iterator(*, samples: Sequence[int] | None = None, **options: Any) -> Iterator[tuple[int, Any]]:
        if samples and isinstance(samples, range) and samples == range(len(samples)):
            return enumerate(itertools.islice(task.eval_docs, len(samples)))
        return original_iterator(samples=samples, **options)

    task.doc_iterator = doc_iterator
