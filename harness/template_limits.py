"""Jinja templates are programs of somebody's: each rendering ends by time, by memory and by the length of what it makes.

A timer looks at the clock and at the process's memory twenty times a second, and ends a loop between two of its steps. What one
step could make too large by itself (`'a' * 10**10`, a width, a power) is refused before it is computed. Chat templates are
rendered by transformers, the prompts of task files by lm-eval: both get the limited environment.
"""

from __future__ import annotations

import contextlib
import functools
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

SECONDS = 10.0  # of one rendering
MEMORY = 1 << 30  # bytes that one rendering may add
LENGTH = 10_000_000  # characters of a text, elements of a list, bits of a number
TICK = 0.05  # seconds
WIDTHS = re.compile(r"\d{7,}")
SIZED = ("center", "ljust", "rjust", "zfill", "expandtabs", "replace", "format", "format_map")
FILTERS = ("center", "indent", "format", "batch", "slice", "replace", "wordwrap")


class TooMuch(TemplateError):
    """A rendering that would not end, or end with more than anybody reads."""


@contextlib.contextmanager
def limited(seconds: float | None = None, memory: int | None = None) -> Iterator[None]:
    """Within, a rendering that takes longer or more memory raises TooMuch. Only the main thread hears signals: in others neither
    time nor memory is limited, what one step makes is.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    longest, most = SECONDS if seconds is None else seconds, MEMORY if memory is None else memory
    began, before = time.monotonic(), _resident()

    def look(*_: Any) -> None:
        if time.monotonic() - began > longest:
            raise TooMuch(f"it does not end within {longest:g} s")
        if _resident() - before > most:
            raise TooMuch(f"it takes more than {most >> 20} MiB of memory")

    handler = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, handler)


def _resident() -> int:
    """Bytes of memory that the process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0


def _joined(parts: Iterable[str]) -> str:
    found, length = [], 0
    for part in parts:
        length += len(part)
        _check(length)
        found.append(part)
    return "".join(found)


def _check(size: int) -> None:
    if size > LENGTH:
        raise TooMuch(f"it makes something of more than {LENGTH:,} characters")


def _check_call(text: Any, values: Iterable[Any]) -> None:
    """Numbers given to something that makes a text are lengths, and those in a format are widths."""
    for value in values:
        if isinstance(value, int):
            _check(abs(value))
    if isinstance(text, (str, bytes)) and WIDTHS.search(text if isinstance(text, str) else text.decode("latin-1")):
        _check(max(int(digits[:20]) for digits in WIDTHS.findall(str(text))))


class _Limits:
    """What an environment of jinja's sandbox computes itself."""

    intercepted_binops = frozenset({"*", "**", "%"})
    concat = staticmethod(_joined)

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for name in FILTERS:
            self.filters[name] = _checked(self.filters[name])  # type: ignore[attr-defined]

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(one, (str, bytes, list, tuple)):
                    _check(len(one) * times)
                elif isinstance(times, int) and isinstance(one, int):
                    _check(one.bit_length() + times.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check(left.bit_length() * max(right, 0))
        elif operator == "%" and isinstance(left, str):
            _check_call(left, right if isinstance(right, tuple) else (right,) if "*" in left else ())
        return super().call_binop(context, operator, left, right)  # type: ignore[misc]

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # the sandbox has its own `format`
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, (str, bytes)) and name in SIZED:
            widths = () if name.startswith("format") else arguments
            _check_call(owner if name.startswith("format") else "", widths)
            if name == "replace" and len(arguments) > 1:
                _check(len(owner) + owner.count(arguments[0]) * len(arguments[1]))
        return super().call(context, obj, *arguments, **named)  # type: ignore[misc]


def _checked(made_by: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of jinja's, with a look at its numbers first."""

    @functools.wraps(made_by)
    def called(*arguments: Any, **named: Any) -> Any:
        values = [*arguments, *named.values()]
        _check_call("", values)
        if made_by.__name__ == "do_format":
            _check_call(arguments[0], ())
        if made_by.__name__ == "do_replace":
            text, old, new = (str(value) for value in arguments[-3:]) if len(arguments) > 2 else ("", "", "")
            _check(len(text) + text.count(old) * len(new))
        return made_by(*arguments, **named)

    return called


class LimitedSandbox(_Limits, ImmutableSandboxedEnvironment):
    """transformers' environment of chat templates, with limits."""


class LimitedEnvironment(_Limits, SandboxedEnvironment):
    """lm-eval's environment of task files, which are the user's own and may reach everything, with limits."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return True

    def is_safe_callable(self, obj: Any) -> bool:
        return True


@functools.cache
def limit_chat_templates() -> None:
    """Let transformers render chat templates in the limited environment."""
    from transformers.utils import chat_template_utils

    chat_template_utils.ImmutableSandboxedEnvironment = LimitedSandbox  # type: ignore[attr-defined]
    for name in ("_compile_jinja_template", "_cached_compile_jinja_template"):
        if hasattr(compiled := getattr(chat_template_utils, name, None), "cache_clear"):
            compiled.cache_clear()  # type: ignore[union-attr]


@functools.cache
def limit_task_templates() -> None:
    """Let lm-eval render the prompts of task files in the limited environment, one after the other within the time."""
    import lm_eval.utils

    theirs = lm_eval.utils.env
    mine = LimitedEnvironment(loader=theirs.loader, undefined=theirs.undefined, keep_trailing_newline=True)
    mine.filters.update({name: one for name, one in theirs.filters.items() if name not in FILTERS})
    mine.globals.update({name: one for name, one in theirs.globals.items() if name not in mine.globals})
    rendered = lm_eval.utils.apply_template

    @functools.wraps(rendered)
    def within(template: str, doc: dict[str, Any]) -> str:
        with limited():
            return rendered(template, doc)

    lm_eval.utils.env = mine
    lm_eval.utils.apply_template = within
