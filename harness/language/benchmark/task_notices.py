"""What a user should know of a suite's tasks before anything is asked: where they are not asked exactly as lm-eval asks them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.language.benchmark.own_shots import draws_its_own, splits
from harness.loop.suite import Suite

SHOWN = 3


def task_notices(suite: Suite, loaded: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """One line per row and kind. loaded: row -> lm-eval's loaded tasks."""
    for row in suite.task:
        tasks = loaded[row.name]["tasks"]
        own = [name for name, task in tasks.items() if draws_its_own(task)]
        if own:
            evaluated, _ = splits(tasks[own[0]])
            yield (
                f"task {_named(row.name, own)}: shots are drawn from the split that is evaluated ({evaluated}); an item that "
                "lm-eval would show among its own shots gets another in its place, so these prompts differ from lm-eval's"
            )
        drawn = {name: said for name, task in tasks.items() if (said := sampling(task)) is not None}
        if drawn:
            said = "; ".join(dict.fromkeys(drawn.values()))
            yield f"task {_named(row.name, list(drawn))}: answers are sampled ({said}), seeded: equal commands, equal answers"


def _named(row: str, tasks: Sequence[str]) -> str:
    """The row, and which of a group's tasks."""
    if list(tasks) == [row]:
        return row
    return f"{row} ({', '.join(tasks[:SHOWN])}{f' and {len(tasks) - SHOWN} more' if len(tasks) > SHOWN else ''})"


def sampling(task: Any) -> str | None:
    """How a task's answers are drawn, in words; None for answers that are not drawn, or not written."""
    config = getattr(task, "config", None)
    if getattr(task, "OUTPUT_TYPE", None) != "generate_until" or config is None:
        return None
    settings = config.generation_kwargs or {}
    temperature = settings.get("temperature", 0.0)
    if not settings.get("do_sample", bool(temperature)):
        return None
    repeats = int(config.repeats or 1)
    said = [f"{key} {settings[key]:g}" for key in ("temperature", "top_p", "top_k", "min_p") if _number(settings.get(key))]
    return ", ".join([*said, *([f"{repeats} draws per item"] if repeats > 1 else [])]) or "temperature 1"


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
