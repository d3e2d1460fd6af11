"""Jinja templates are programs of somebody's: each rendering ends by time, by memory and by the length of what it makes.

A timer looks at the clock and at the process's memory twenty times a second, and ends a loop between two of its steps. What one
step could make too large by itself (`'a' * 10**10`, a width, a power, one long text joined or formatted many times over) is
refused before it is computed. Chat templates are rendered by transformers, the prompts of task files by lm-eval: both get the
limited environment.
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

from jinja2 import TemplateError, nodes
from jinja2.compiler import CodeGenerator
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment

SECONDS = 10.0  # of one rendering
MEMORY = 1 << 30  # bytes that one rendering may add
LENGTH = 10_000_000  # characters of a text, elements of a list
BITS = 1_000_000  # of a whole number; a division of such ones takes a second
COPIED = 1_000_000_000  # elements that a sum of lists copies
TICK = 0.05  # seconds
WIDTHS = re.compile(r"\d{7,}")
SIZED = ("center", "ljust", "rjust", "zfill", "expandtabs", "to_bytes")
FORMATS = ("format", "format_map")


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

    said: list[str] = []

    def look(*_: Any) -> None:
        if time.monotonic() - began > longest:
            said.append(f"it does not end within {longest:g} s")
        elif _resident() - before > most:
            said.append(f"it takes more than {most >> 20} MiB of memory")
        else:
            return
        raise TooMuch(said[0])

    handler = signal.signal(signal.SIGALRM, look)
    timer = signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
    try:
        try:
            yield
        finally:  # the last look may come in here
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Exception as error:
        if said and not isinstance(error, TooMuch):  # jinja loses the error where a line of its own code has no number
            raise TooMuch(said[0]) from error
        raise
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


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


def _size(value: Any) -> int:
    """Characters and elements of a value with all it holds, each as often as it is held; counted until there are too many."""
    if isinstance(value, (str, bytes)):
        return len(value)
    size, waiting = 0, [value]
    while waiting and size <= LENGTH:
        one = waiting.pop()
        size += 1
        if isinstance(one, (str, bytes)):
            size += len(one)
        elif isinstance(one, dict):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            waiting += one
    return size


def _listed(values: Iterable[Any]) -> list[Any]:
    """The values, which a filter may make one by one, as a list of a bearable size."""
    found, size = [], 0
    for value in values:
        size += _size(value)
        _check(size)
        found.append(value)
    return found


def _check_whole(bits: int) -> None:
    if bits > BITS:
        raise TooMuch(f"it makes a number of more than {BITS:,} bits")


def _check_lengths(values: Iterable[Any]) -> None:
    """Numbers given to something that makes a text are lengths."""
    for value in values:
        if isinstance(value, int):
            _check(abs(value))


def _check_format(text: str | bytes, values: Any) -> None:
    """Numbers in a format are widths; what is filled in may be filled in as often as the format has places."""
    said = text if isinstance(text, str) else text.decode("latin-1")
    if WIDTHS.search(said):
        _check(max(int(digits[:20]) for digits in WIDTHS.findall(said)))
    places = max(said.count("%"), said.count("{"))
    _check(len(said) + places * (_size(values) if places else 0))


def _check_replace(text: str | bytes, old: Any, new: Any) -> None:
    _check(len(text) + text.count(old) * len(new))


def _check_method(owner: Any, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """What a method of a text or a number would make; its arguments, listed where it takes many."""
    if name in SIZED:
        _check_lengths([*arguments, *named.values()])
    elif name in FORMATS:
        _check_lengths([*arguments, *named.values()] if re.search(r":[^}]*\{", str(owner)) else [])  # widths that are given
        _check_format(owner, [*arguments, *named.values()])
    elif name == "replace" and len(arguments) > 1:
        _check_replace(owner, *arguments[:2])
    elif name == "translate" and arguments and isinstance(arguments[0], dict):
        _check(len(owner) * max(map(_size, arguments[0].values()), default=0))
    elif name == "join" and arguments:
        parts = _listed(arguments[0])
        _check(len(owner) * len(parts))
        return (parts, *arguments[1:])
    return arguments


class _Generator(CodeGenerator):
    """Nothing is computed before the rendering, and texts are joined and written by the environment."""

    def visit_Concat(self, node: nodes.Concat, frame: Any) -> None:  # noqa: N802 (a name of jinja)
        self.write("environment.join_texts(")
        self.write("(")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_child_to_const(self, node: nodes.Expr, frame: Any, finalize: Any) -> str:
        if not isinstance(node, (nodes.TemplateData, nodes.Const)):
            raise nodes.Impossible
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        super()._output_child_pre(node, frame, finalize)
        self.write("environment.writable(")

    def _output_child_post(self, node: nodes.Expr, frame: Any, finalize: Any) -> None:
        self.write(")")
        super()._output_child_post(node, frame, finalize)


class _Filters(dict[str, Any]):
    """Filters by name, with a look at what they are given; those that a library puts in later too."""

    def __setitem__(self, name: str, made_by: Any) -> None:
        super().__setitem__(name, _checked(made_by, CHECKS[name]) if name in CHECKS else made_by)


class _Limits:
    """What an environment of jinja's sandbox computes itself."""

    intercepted_binops = frozenset({"*", "**", "%"})
    concat = staticmethod(_joined)
    code_generator_class = _Generator

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.optimized = False
        found = _Filters()
        for name, made_by in self.filters.items():  # type: ignore[has-type]
            found[name] = made_by
        self.filters = found

    def join_texts(self, parts: tuple[Any, ...]) -> str:
        """`a ~ b ~ c`"""
        _check(sum(map(_size, parts)))
        return "".join(map(str, parts))

    def writable(self, value: Any) -> Any:
        """`{{ value }}`"""
        _check(_size(value))
        return value

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(one, (str, bytes, list, tuple)):
                    _check(len(one) * times)
                elif isinstance(times, int) and isinstance(one, int):
                    _check_whole(one.bit_length() + times.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_whole(left.bit_length() * max(right, 0))
        elif operator == "%" and isinstance(left, (str, bytes)):
            _check_lengths((right if isinstance(right, tuple) else (right,)) if "*" in str(left) else ())
            _check_format(left, right)
        return super().call_binop(context, operator, left, right)  # type: ignore[misc]

    def call(self, context: Any, obj: Any, *arguments: Any, **named: Any) -> Any:
        method = getattr(obj, "__wrapped__", obj)  # the sandbox has its own `format`
        owner = getattr(method, "__self__", None)
        if isinstance(owner, (str, bytes, int)):
            arguments = _check_method(owner, getattr(method, "__name__", ""), arguments, named)
        return super().call(context, obj, *arguments, **named)  # type: ignore[misc]


def _check_join(value: Any, d: Any = "", attribute: Any = None) -> Any:
    value = _listed(value)
    _check(len(value) * _size(d))
    return value


def _check_sum(iterable: Any, attribute: Any = None, start: Any = 0) -> Any:
    iterable = _listed(iterable)
    if not isinstance(start, (int, float)) and len(iterable) * _size(iterable) > COPIED:
        raise TooMuch(f"it copies more than {COPIED:,} elements")
    return iterable


def _check_filled(value: Any, *arguments: Any, **named: Any) -> Any:
    _check_format(str(value), [*arguments, *named.values()])
    return value


def _check_replaced(s: Any, old: Any, new: Any, count: Any = None) -> Any:
    _check_replace(str(s), str(old), str(new))
    return s


def _check_spread(value: Any, *arguments: Any, **named: Any) -> Any:
    """For what puts something at the beginning of each line, or fills up to a length."""
    _check_lengths([*arguments, *named.values()])
    if put := max((len(one) for one in (*arguments, *named.values()) if isinstance(one, str)), default=0):
        _check(_size(value) * put)
    return value


def _check_written(value: Any, *arguments: Any, **named: Any) -> Any:
    """For what makes a text of a value and all that it holds."""
    value = (
        value
        if isinstance(value, (str, bytes, dict, list, tuple, int, float)) or not hasattr(value, "__next__")
        else _listed(value)
    )
    _check(_size(value) * max(1, _size([*arguments, *named.values()]) if arguments or named else 1))
    _check_lengths([*arguments, *named.values()])
    return value


CHECKS: dict[str, Callable[..., Any]] = {
    "join": _check_join,
    "sum": _check_sum,
    "format": _check_filled,
    "replace": _check_replaced,
    **dict.fromkeys(("center", "indent", "batch", "slice", "wordwrap"), _check_spread),
    **dict.fromkeys(("string", "tojson", "pprint", "urlencode", "xmlattr", "e", "escape", "forceescape"), _check_written),
}


def _checked(made_by: Callable[..., Any], check: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of jinja's, with a look at what it is given: (context of some filters, value, settings)."""
    passed = int(hasattr(made_by, "jinja_pass_arg"))

    @functools.wraps(made_by)
    def called(*arguments: Any, **named: Any) -> Any:
        before, (value, *rest) = arguments[:passed], arguments[passed:]
        return made_by(*before, check(value, *rest, **named), *rest, **named)

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
    mine.filters.update({name: one for name, one in theirs.filters.items() if name not in mine.filters})
    mine.globals.update({name: one for name, one in theirs.globals.items() if name not in mine.globals})
    rendered = lm_eval.utils.apply_template

    @functools.wraps(rendered)
    def within(template: str, doc: dict[str, Any]) -> str:
        with limited():
            return rendered(template, doc)

    lm_eval.utils.env = mine
    lm_eval.utils.apply_template = within
