"""What of an lm-eval task file is not supported, as far as its text tells: one line each. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def unsupported(settings: Mapping[str, Any], allow_unsafe_code: bool) -> Iterator[str]:
    """What is in the way of a task's settings, without the task's name."""
    if settings.get("unsafe_code") and not allow_unsafe_code:
        yield (
            "runs code that the model has written (unsafe_code: true); allow it with --set evaluation.allow_unsafe_code=true "
            "on a machine that may be harmed, or leave the task out"
        )
    for name, what in (("doc_to_image", "pictures"), ("doc_to_audio", "sound")):
        if settings.get(name):
            yield f"asks with {what} ({name}), which is not supported; leave the task out"
    repeats = settings.get("repeats")
    if repeats is not None and (not isinstance(repeats, int) or repeats < 1):
        yield f"repeats={repeats!r}: expected a whole number from 1"
    generation = settings.get("generation_kwargs")
    if isinstance(generation, Mapping):
        sampled, temperature = generation.get("do_sample"), generation.get("temperature")
        if sampled and not _number(temperature):
            yield (
                f"generation_kwargs: do_sample with temperature={temperature!r}, which lm-eval's transformers model refuses; "
                "add temperature: 1.0"
            )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
