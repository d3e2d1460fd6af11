"""Fingerprint of an lm-eval task: its settings and code as a text that changes with them and is the same on every machine."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Recorded elsewhere (the task, its version, its documents), or paths of one machine, which lm-eval adds.
EXCLUDED_SETTINGS = {"task", "metadata", "dataset_path", "dataset_name", "dataset_kwargs"}


def task_fingerprint(task: Any) -> str:
    """The settings of a task loaded by lm-eval as JSON; a function is replaced by the whole file it comes from."""
    settings = task.config.to_dict(keep_callable=True).items()
    return json.dumps(_to_jsonable({k: v for k, v in settings if k not in EXCLUDED_SETTINGS}), sort_keys=True)


def _to_jsonable(value: Any) -> Any:
    """A value for JSON without addresses of objects, which differ from one process to the next."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _to_jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_jsonable(inner) for inner in value]
    if isinstance(value, (set, frozenset)):
        return sorted(json.dumps(_to_jsonable(inner), sort_keys=True) for inner in value)
    return source_code(value) if callable(value) else type(value).__qualname__


def source_code(function: Callable[..., Any]) -> list[str]:
    """A function's name and the text of its file, which includes the helpers it calls there; and arguments bound to it."""
    if isinstance(function, functools.partial):
        bound = json.dumps(_to_jsonable([function.args, function.keywords]), sort_keys=True)
        return [*source_code(function.func), bound]
    name = getattr(function, "__qualname__", type(function).__qualname__)
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
        return [name, Path(file).read_text(encoding="utf-8") if file else ""]
    except (TypeError, OSError):  # built in, or made where no file is
        return [name, ""]
