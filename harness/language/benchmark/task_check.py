"""Settings of an lm-eval task file that are not supported, one line each, read from the file alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness.language.benchmark.row_check import mappings

REGEX_FILTERS = {"regex", "regex_pos", "multi_choice_regex"}


def unsupported_features(settings: Mapping[str, Any], allow_unsafe_code: bool) -> Iterator[str]:
    """One line each, without the task's name."""
    if settings.get("unsafe_code") and not allow_unsafe_code:
        yield (
            "runs code that the model has written (unsafe_code: true); allow it with --set evaluation.allow_unsafe_code=true "
            "in an environment where that is safe, or leave the task out"
        )
    for name, modality in (("doc_to_image", "image"), ("doc_to_audio", "audio")):
        if settings.get(name):
            yield f"has {modality} inputs ({name}), which are not supported; leave the task out"
    repeats = settings.get("repeats")
    if repeats is not None and (not isinstance(repeats, int) or repeats < 1):
        yield f"repeats={repeats!r}: expected a whole number from 1"
    yield from _filter_problems(settings, repeats if isinstance(repeats, int) else 1)
    gen_kwargs = settings.get("generation_kwargs")
    if isinstance(gen_kwargs, Mapping):
        until = gen_kwargs.get("until", [])
        if not all(isinstance(stop, str) for stop in (until if isinstance(until, list) else [until])):
            yield f"generation_kwargs: until={until!r}, expected texts; write numbers in quotes"
        do_sample, temperature = gen_kwargs.get("do_sample"), gen_kwargs.get("temperature")
        if do_sample and not _as_float(temperature):
            yield (
                f"generation_kwargs: do_sample with temperature={temperature!r}, which lm-eval's transformers model refuses; "
                "add temperature: 1.0"
            )


def _filter_problems(settings: Mapping[str, Any], repeats: int) -> Iterator[str]:
    """Steps of filters that fail whatever the answers are."""
    for entry in mappings(settings.get("filter_list")):
        for step in mappings(entry.get("filter")):
            function = step.get("function")
            if function == "take_first_k" and isinstance(k := step.get("k"), int) and k > repeats:
                yield (
                    f"filter {entry.get('name')} takes the first {k} answers, but repeats is {repeats}; "
                    f"set repeats to at least {k}"
                )
            pattern = step.get("regex_pattern") if function in REGEX_FILTERS else None
            if isinstance(pattern, str):
                try:
                    re.compile(pattern)
                except re.error as error:
                    yield f"filter {entry.get('name')}: regex_pattern {pattern!r} is no regular expression ({error})"


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
