"""Notes on a suite's tasks for the user, before anything is evaluated: where prompts or answers differ from plain lm-eval's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.language.benchmark.own_shots import eval_and_fewshot_splits, shots_may_include_item
from harness.loop.suite import Suite

MAX_SHOWN_TASKS = 3


def task_notes(suite: Suite, loaded: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per row and kind. loaded: row -> lm-eval's loaded tasks."""
    for row in suite.task:
        tasks = loaded[row.name]["tasks"]
        if overlapping := [name for name, task in tasks.items() if shots_may_include_item(task)]:
            eval_split, _ = eval_and_fewshot_splits(tasks[overlapping[0]])
            yield (
                f"task {_row_label(row.name, overlapping)}: shots are drawn from the split that is evaluated ({eval_split}); an "
                "item that lm-eval would show among its own shots is replaced there, so these prompts differ from lm-eval's"
            )
        if sampled := {name: words for name, task in tasks.items() if (words := describe_sampling(task)) is not None}:
            description = "; ".join(dict.fromkeys(sampled.values()))
            yield (
                f"task {_row_label(row.name, list(sampled))}: answers are sampled ({description}) with fixed seeds: "
                "equal commands give equal answers"
            )


def _row_label(row: str, tasks: Sequence[str]) -> str:
    """The row, and which of a group's tasks."""
    hidden = len(tasks) - MAX_SHOWN_TASKS
    shown = ", ".join(tasks[:MAX_SHOWN_TASKS]) + (f" and {hidden} more" if hidden > 0 else "")
    return row if list(tasks) == [row] else f"{row} ({shown})"


def describe_sampling(task: Any) -> str | None:
    """How a task's answers are sampled, in words; None for answers that are not sampled, or not generated."""
    config = getattr(task, "config", None)
    if getattr(task, "OUTPUT_TYPE", None) != "generate_until" or config is None:
        return None
    settings = config.generation_kwargs or {}
    temperature = settings.get("temperature", 0.0)
    if not settings.get("do_sample", bool(temperature)):
        return None
    repeats = int(config.repeats or 1)
    numbers = {key: settings.get(key) for key in ("temperature", "top_p", "top_k", "min_p")}
    parts = [f"{key} {value:g}" for key, value in numbers.items() if type(value) in (int, float)]
    return ", ".join([*parts, *([f"{repeats} samples per item"] if repeats > 1 else [])]) or "temperature 1"
