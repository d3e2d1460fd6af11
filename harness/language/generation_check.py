"""Whether a model can generate what a suite's tasks need: room in its context, and supported generation settings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.errors import UserError

DEFAULT_MAX_GEN_TOKS = 256  # tokens that lm-eval's transformers model generates where a task does not say
NamedTasks = Iterable[tuple[str, Any]]  # lm-eval's loaded tasks that generate text, by name


def check_context(suite: str, tasks: NamedTasks, context_length: int) -> None:
    """Raises UserError when a task may generate more tokens than the model's context holds: it would fail hours later."""
    from lm_eval.models.utils import normalize_gen_kwargs

    for name, task in tasks:
        max_gen_toks = normalize_gen_kwargs(task.config.generation_kwargs or {}, DEFAULT_MAX_GEN_TOKS).get(
            "max_gen_toks", DEFAULT_MAX_GEN_TOKS
        )
        if max_gen_toks >= context_length:
            raise UserError(
                f"suite {suite}, task {name}: generates up to {max_gen_toks} tokens, the model's context is {context_length}; "
                "leave the task out or use a model with a longer context"
            )


def check_settings(suite: str, tasks: NamedTasks, model: Any) -> None:
    """Raises UserError for settings under which lm-eval's own model fails, or that are not supported."""
    from harness.language.benchmark.lm import resolve_settings  # lm-eval takes seconds to load

    for name, task in tasks:
        try:
            resolve_settings(model, task.config.generation_kwargs, DEFAULT_MAX_GEN_TOKS, None)
        except UserError as error:
            raise UserError(f"suite {suite}, task {name}: {error}") from None
